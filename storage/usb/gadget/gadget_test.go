package gadget

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What needs the kernel is in TestGuest of package usb.

// TestCreateErrors has Create refuse what no gadget can be, and take its function away again
// where it fails half-way.
func TestCreateErrors(t *testing.T) {
	root := t.TempDir()
	one := []LUN{{}}
	for name, c := range map[string]Config{
		"no name": {LUNs: one}, "a path": {Name: "a/b", LUNs: one}, "up": {Name: "..", LUNs: one},
		"no units": {Name: "a"}, "nine units": {Name: "a", LUNs: make([]LUN, 9)},
		"long inquiry string": {Name: "a", LUNs: []LUN{{Inquiry: strings.Repeat("x", 29)}}}, "inquiry string": {Name: "a", LUNs: []LUN{{Inquiry: "ü"}}},
	} {
		c.Root = root
		if _, err := Create(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Create(Config{Name: "a", LUNs: one, Root: filepath.Join(root, "none")}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without configfs: %v", err)
	}
	// A directory of an ordinary file system has none of the attributes.
	if _, err := Create(Config{Name: "a", LUNs: one, Root: root}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half-way: %v", err)
	}
	if all, _ := filepath.Glob(filepath.Join(root, "a", "functions", "*")); len(all) != 0 {
		t.Errorf("left behind: %v", all)
	}
	if _, err := Create(Config{Name: "a", LUNs: one, Root: root}); !errors.Is(err, ErrExists) {
		t.Errorf("a second of the name: %v", err)
	}
	if _, err := Open(Config{Name: "a", Root: root}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what is no gadget: %v", err)
	}
}

// TestBindErrors tells controllers that there are not from those that are in use.
func TestBindErrors(t *testing.T) {
	dir := t.TempDir()
	g := newGadget(&Config{Root: filepath.Dir(dir), Name: filepath.Base(dir), Controllers: filepath.Join(dir, "udc")})
	if err := g.Bind(""); !errors.Is(err, ErrNoController) {
		t.Errorf("without controllers: %v", err)
	}
	for _, name := range []string{"a", "../udc"} {
		if err := g.Bind(name); !errors.Is(err, ErrNoController) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for err, want := range map[error]error{syscall.EBUSY: ErrBusy, syscall.ENODEV: ErrNoController, syscall.EACCES: fs.ErrPermission, syscall.EPERM: fs.ErrPermission} {
		if got := explain(&fs.PathError{Op: "write", Path: "UDC", Err: err}); !errors.Is(got, want) {
			t.Errorf("%v is %v", err, got)
		}
	}
}

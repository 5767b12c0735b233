package admin

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

func TestSplitUnit(t *testing.T) {
	p, c, err := splitUnit("file:a,,b,ro,type=cdrom,blocksize=4K,removable,writethrough=false,serial=S1,cow,state=x", "id")
	if err != nil || p.String() != "file:a,,b,ro,cow" {
		t.Fatalf("%q, %v", p, err)
	}
	if c.Type != scsi.CDROM || c.BlockSize != 4096 || !c.Removable || c.WriteThrough || c.Serial != "S1" || c.Identifier != "S1" || c.Store != fileStore("x") {
		t.Errorf("%+v", c)
	}
	p, c, err = splitUnit("http://h/a,b?c=d#writethrough,cache=1M,type=disk", "id")
	if err != nil || p.String() != "http://h/a,b?c=d#cache=1M" || c.Type != scsi.Disk || !c.WriteThrough || c.Identifier != "id" || c.Serial == "" || c.Store != nil {
		t.Errorf("%q, %+v, %v", p, c, err)
	}
	for text, want := range map[string]string{
		"disk.img":                 "write its kind",
		"memory:1M,type=tape":      "there are disk and cdrom",
		"memory:1M,blocksize=1Q":   "blocksize",
		"memory:1M,blocksize=1000": "block",
		"memory:1M,blocksize=1T":   "at most 64K",
		"memory:1M,removable=x":    "true or false",
		"memory:1M,state":          "name of a file",
		"memory:1M,colour=red":     "colour",
		"memory:0":                 "",
	} {
		u, err := openUnit(t.Context(), spec.Builtin(), LUN{Disk: text}, "id")
		if want == "" {
			if err == nil {
				u.close(t.Context())
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestOptionNames keeps the options of units apart from those of disks.
func TestOptionNames(t *testing.T) {
	for _, line := range strings.Split(UnitUsage, "\n") {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), ",")
		if !ok {
			continue
		}
		name = strings.FieldsFunc(name, func(c rune) bool { return c == ' ' || c == '=' })[0]
		if strings.Contains(spec.Builtin().Usage(), "    ,"+name+" ") {
			t.Errorf("there is an option %s of disks", name)
		}
	}
}

func TestFileStore(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"state", filepath.Join("dir", "state")} {
		s := fileStore(name)
		os.Mkdir("dir", 0o700)
		if text, err := s.Load(); text != nil || err != nil {
			t.Errorf("%q, %v", text, err)
		}
		for _, state := range [][]byte{[]byte("a longer state"), []byte("state")} {
			if err := s.Save(state); err != nil {
				t.Fatal(err)
			}
			if text, err := s.Load(); !bytes.Equal(text, state) || err != nil {
				t.Errorf("%q, %v", text, err)
			}
		}
		if left, _ := os.ReadDir(filepath.Dir(name)); name != "state" && len(left) != 1 {
			t.Errorf("%v are left", left)
		}
	}
	if err := fileStore("nowhere/at/all").Save(nil); err == nil {
		t.Error("saved nowhere")
	}
}

// TestState has a persistent reservation be there again when its unit was taken away
// and came back (SPC-4 5.12.3: APTPL).
func TestState(t *testing.T) {
	n := newLab(t, nil)
	target := Target{Name: t1, LUNs: map[int]LUN{1: {Disk: "memory:1M,state=" + filepath.Join(t.TempDir(), "state")}}}
	for _, before := range []bool{true, false} {
		if err := n.manager.Create(t.Context(), target); err != nil {
			t.Fatal(err)
		}
		c := n.session(t1)
		if _, err := c.Open(t.Context(), 1); err != nil { // which hears unit attentions
			t.Fatal(err)
		}
		if before {
			out := make([]byte, 24)
			copy(out[8:], "theirkey")
			out[20] = 1 // APTPL
			r, err := c.Command(t.Context(), 1, []byte{0x5f, 0, 8: 24, 9: 0}, out, nil)
			if err != nil || r.Status != scsi.Good {
				t.Fatalf("REGISTER: %+v, %v", r, err)
			}
		}
		in := make([]byte, 64)
		r, err := c.Command(t.Context(), 1, []byte{0x5e, 0, 8: 64, 9: 0}, nil, in)
		if err != nil || r.Status != scsi.Good || !bytes.Contains(in[8:r.N], []byte("theirkey")) {
			t.Errorf("READ KEYS: %+v %q, %v", r, in, err)
		}
		c.Close()
		if err := n.manager.Remove(t.Context(), t1); err != nil {
			t.Error(err)
		}
	}
}

package block_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

func openFile(t *testing.T, name string, c block.FileConfig) *block.File {
	t.Helper()
	f, err := block.OpenFile(name, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFile(t *testing.T) {
	blocktest.TestDevice(t, func(t *testing.T) block.Device {
		return must(block.OpenFile(filepath.Join(t.TempDir(), "disk"), block.FileConfig{Create: true, Size: 1<<20 + 77}))(t)
	})
}

// must fails the test where there is an error.
func must(f *block.File, err error) func(t *testing.T) *block.File {
	return func(t *testing.T) *block.File {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// TestFileInMemory is on a file system without FALLOC_FL_ZERO_RANGE.
func TestFileInMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	blocktest.TestDevice(t, func(t *testing.T) block.Device {
		dir, err := os.MkdirTemp("/dev/shm", "block")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		return must(block.OpenFile(filepath.Join(dir, "disk"), block.FileConfig{Create: true, Size: 1 << 20}))(t)
	})
}

func TestFileReadOnly(t *testing.T) {
	blocktest.TestDevice(t, func(t *testing.T) block.Device {
		name := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(name, bytes.Repeat([]byte("block"), 50000), 0o600); err != nil {
			t.Fatal(err)
		}
		return must(block.OpenFile(name, block.FileConfig{ReadOnly: true}))(t)
	})
}

// TestFileKeeps closes and opens.
func TestFileKeeps(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk")
	if _, err := block.OpenFile(name, block.FileConfig{Size: 100}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	f := openFile(t, name, block.FileConfig{Create: true, Size: 100})
	if _, err := f.WriteAt([]byte("abc"), 97); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Sync": f.Sync(), "Close": f.Close()} {
		if !errors.Is(err, block.ErrClosed) {
			t.Errorf("%s of a closed file: %v", what, err)
		}
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, block.ErrClosed) {
		t.Errorf("a read of a closed file: %v", err)
	}
	f = openFile(t, name, block.FileConfig{Create: true, Size: 50})
	got := make([]byte, 3)
	if _, err := f.ReadAt(got, 97); err != nil || string(got) != "abc" {
		t.Errorf("%q, %v", got, err)
	}
	if size, _ := f.Size(); size != 100 {
		t.Errorf("the size is %d", size)
	}
	if _, err := block.OpenFile(name, block.FileConfig{ReadOnly: true, Shared: true, Size: 101}); !errors.Is(err, block.ErrNoSpace) {
		t.Errorf("a read-only file that is too small: %v", err)
	}
}

// TestFileLock opens a file twice in all ways.
func TestFileLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk")
	for _, c := range []struct {
		first, second block.FileConfig
		ok            bool
	}{
		{block.FileConfig{Create: true}, block.FileConfig{}, false},
		{block.FileConfig{}, block.FileConfig{ReadOnly: true}, false},
		{block.FileConfig{ReadOnly: true}, block.FileConfig{}, false},
		{block.FileConfig{ReadOnly: true}, block.FileConfig{ReadOnly: true}, true},
		{block.FileConfig{}, block.FileConfig{Shared: true}, true},
		{block.FileConfig{Shared: true}, block.FileConfig{}, true},
	} {
		first := openFile(t, name, c.first)
		second, err := block.OpenFile(name, c.second)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, block.ErrInUse) {
			t.Errorf("%+v, then %+v: %v", c.first, c.second, err)
		}
		if second != nil {
			second.Close()
		}
		first.Close()
	}
}

func TestFileOfWrongKind(t *testing.T) {
	for _, name := range []string{t.TempDir(), os.DevNull} {
		if f, err := block.OpenFile(name, block.FileConfig{ReadOnly: true, Shared: true}); err == nil {
			f.Close()
			t.Errorf("%s can be opened", name)
		}
	}
}

func extentsOf(t *testing.T, d block.Device) (all []block.Extent) {
	t.Helper()
	disk, err := block.NewDisk(d)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := disk.Size()
	if err := disk.Extents(0, size, func(e block.Extent) bool { all = append(all, e); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFileHoles looks for the room that a file takes.
func TestFileHoles(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	const mb = 1 << 20
	name := filepath.Join(t.TempDir(), "disk")
	f := openFile(t, name, block.FileConfig{Create: true, Size: 4 * mb})
	f.WriteAt(bytes.Repeat([]byte{1}, 4*mb), 0)
	f.Sync()
	d, _ := block.NewDisk(f)
	full := allocated(t, name)
	if full < 4*mb {
		t.Fatalf("%d bytes are allocated", full)
	}
	if err := d.WriteZeroes(0, mb, block.ZeroFast); err != nil {
		need.Unable(t, "the file system of %s has no holes: %v", name, err)
	}
	if err := d.Trim(2*mb, mb); err != nil {
		t.Fatal(err)
	}
	if n := allocated(t, name); n > full-2*mb {
		t.Errorf("%d bytes are allocated after zeroes and a trim, %d before", n, full)
	}
	want := []block.Extent{{Off: 0, Length: mb, Hole: true, Zero: true}, {Off: mb, Length: mb},
		{Off: 2 * mb, Length: mb, Hole: true, Zero: true}, {Off: 3 * mb, Length: mb}}
	if got := extentsOf(t, f); !slices.Equal(got, want) {
		t.Errorf("extents %+v", got)
	}
	n := allocated(t, name)
	if err := d.WriteZeroes(2*mb, mb, block.ZeroNoHole); err != nil {
		t.Fatal(err)
	}
	if now := allocated(t, name); now < n+mb {
		t.Errorf("zeroes without a hole take %d bytes more", now-n)
	}
}

func TestFileAllocates(t *testing.T) {
	f := openFile(t, filepath.Join(t.TempDir(), "disk"), block.FileConfig{Create: true, Size: 1 << 20})
	d, _ := block.NewDisk(f)
	p := make([]byte, 4096)
	if n := testing.AllocsPerRun(200, func() {
		d.WriteAt(p, 4096)
		d.ReadAt(p, 100)
		d.WriteZeroes(8192, 4096, 0)
		d.Trim(8192, 4096)
	}); n >= 1 && !block.RaceEnabled {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(5, func() { d.WriteAtFUA(p, 8192); d.Sync() }); n >= 1 && !block.RaceEnabled {
		t.Errorf("a write with FUA and a Sync: %v allocations", n)
	}
}

// TestFileSyncErrorStays lets one Sync fail while another is under way and succeeds,
// as the kernel does it, which tells an error once.
func TestFileSyncErrorStays(t *testing.T) {
	f := openFile(t, filepath.Join(t.TempDir(), "disk"), block.FileConfig{Create: true, Size: 4096})
	began, fail := make(chan bool), make(chan error)
	f.ReplaceSync(func() error {
		began <- true
		return <-fail
	})
	results := make(chan error)
	for range 2 {
		go func() { results <- f.Sync() }()
	}
	<-began
	<-began
	fail <- nil // of one, which waits for the other
	select {
	case err := <-results:
		t.Errorf("a Sync returned %v while another, under way, might learn of its loss", err)
	case <-time.After(10 * time.Millisecond):
	}
	fail <- syscall.EIO
	for range 2 {
		if err := <-results; !errors.Is(err, syscall.EIO) {
			t.Errorf("Sync: %v", err)
		}
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the next Sync: %v", err)
	}
	if runtime.GOOS == "linux" {
		d, _ := block.NewDisk(f)
		if _, err := d.WriteAtFUA([]byte{1}, 0); !errors.Is(err, syscall.EIO) {
			t.Errorf("the next write with FUA: %v", err)
		}
	}
}

package block_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

// allocated is how many bytes a file takes.
func allocated(t *testing.T, name string) int64 {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Stat(name, &s); err != nil {
		t.Fatal(err)
	}
	return s.Blocks * 512
}

func TestFileDirect(t *testing.T) {
	dir := t.TempDir()
	if f, err := block.OpenFile(filepath.Join(dir, "disk"), block.FileConfig{Create: true, Direct: true}); errors.Is(err, syscall.EINVAL) {
		need.Unable(t, "the file system of %s has no direct I/O: set TMPDIR", dir)
	} else if err == nil {
		f.Close()
	}
	blocktest.TestDevice(t, func(t *testing.T) block.Device {
		return must(block.OpenFile(filepath.Join(t.TempDir(), "disk"), block.FileConfig{Create: true, Size: 1 << 20, Direct: true}))(t)
	})
	if _, err := block.OpenFile(filepath.Join(dir, "odd"), block.FileConfig{Create: true, Size: 1000, Direct: true}); !errors.Is(err, block.ErrAlignment) {
		t.Errorf("1000 bytes by direct I/O: %v", err)
	}
}

// loop makes a block special file of a regular one.
func loop(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		if os.Getenv("CI") == "true" && os.Getuid() == 0 {
			t.Fatalf("losetup: %v: %s", err, out)
		}
		t.Skipf("losetup: %v: %s", err, out)
	}
	name := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", name).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach: %v: %s", err, out)
		}
	})
	return name
}

// TestFileBlockSpecial is TestDevice on a loop device, through the page cache and
// past it.
func TestFileBlockSpecial(t *testing.T) {
	for _, direct := range []bool{false, true} {
		t.Run(map[bool]string{false: "Cached", true: "Direct"}[direct], func(t *testing.T) {
			backing := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(backing, make([]byte, 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			name := loop(t, backing)
			blocktest.TestDevice(t, func(t *testing.T) block.Device {
				return must(block.OpenFile(name, block.FileConfig{Direct: direct}))(t)
			})
			f := must(block.OpenFile(name, block.FileConfig{}))(t)
			defer f.Close()
			if size, err := f.Size(); size != 1<<20 || err != nil {
				t.Errorf("the size is %d (%v)", size, err)
			}
			if other, err := block.OpenFile(name, block.FileConfig{}); !errors.Is(err, block.ErrInUse) {
				other.Close()
				t.Errorf("a second opener: %v", err)
			}
		})
	}
}

// TestFileSyncError fills what a loop device rests on, so that the kernel fails to
// write back: the error of Sync stays, though fsync itself succeeds the second time.
func TestFileSyncError(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("CI") == "true" && os.Getuid() == 0 {
			t.Fatal(err)
		}
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	backing := filepath.Join(dir, "disk")
	if err := os.WriteFile(backing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(backing, 8<<20); err != nil {
		t.Fatal(err)
	}
	f := must(block.OpenFile(loop(t, backing), block.FileConfig{}))(t)
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{1}, 4<<20), 0); err != nil {
		t.Fatal(err)
	}
	first := f.Sync()
	if first == nil {
		t.Fatal("Sync says that 4 MB are durable where there is room for one")
	}
	again, err := os.OpenFile(f.Name(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := f.Sync(); !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the second Sync: %v, after %v", err, first)
	}
	t.Logf("first: %v; a new opener: %v", first, again.Sync())
}

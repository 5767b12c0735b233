package vhostblk

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

// serve serves a device, and returns a front end that drives it.
func serve(t *testing.T, dev block.Device, c Config, fc FrontendConfig) (*Backend, *Frontend) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	if c.Report == nil {
		c.Report = func(ring int, err error) { t.Errorf("ring %d: %v", ring, err) }
	}
	b, err := Listen(path, dev, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	f, err := Dial(path, fc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return b, f
}

func openFile(t *testing.T, size int64) *block.File {
	t.Helper()
	d, err := block.OpenFile(filepath.Join(t.TempDir(), "disk"), block.FileConfig{Create: true, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// A slow device is one that does not say what it is: all is done by workers.
type slow struct {
	block.Device
	wait func() // of each read and write
}

func (s *slow) ReadAt(p []byte, off int64) (int, error) { s.wait(); return s.Device.ReadAt(p, off) }
func (s *slow) WriteAt(p []byte, off int64) (int, error) {
	s.wait()
	return s.Device.WriteAt(p, off)
}

// TestDevice has our front end be a device, with our back end over each kind of one,
// and rings of each kind.
func TestDevice(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) block.Device{
		"memory":  func(t *testing.T) block.Device { return block.NewMemory(1 << 20) },
		"file":    func(t *testing.T) block.Device { return openFile(t, 1<<20) },
		"workers": func(t *testing.T) block.Device { return &slow{block.NewMemory(1 << 20), func() {}} },
	} {
		for _, c := range []struct {
			name string
			fc   FrontendConfig
		}{{"split", FrontendConfig{Depth: 8}}, {"packed, small requests", FrontendConfig{Queues: 2, Depth: 4, Packed: true, MaxTransfer: 8192}}} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				blocktest.TestDevice(t, func(t *testing.T) block.Device {
					_, f := serve(t, open(t), Config{}, c.fc)
					return f
				})
			})
		}
	}
}

// daemon starts qemu-storage-daemon with a file, and returns where it listens.
func daemon(t *testing.T, file string, options string) (path string) {
	t.Helper()
	program := need.Program(t, "qemu-storage-daemon")
	path = filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(program, "--blockdev", "driver=file,node-name=f0,filename="+file+",discard=unmap",
		"--blockdev", "driver=raw,node-name=d0,file=f0,discard=unmap",
		"--export", "type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path="+path+options)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("qemu-storage-daemon says: %s", &said)
		}
	})
	for range 6000 {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("qemu-storage-daemon does not listen")
	return ""
}

// TestStorageDaemon drives the disk of qemu-storage-daemon.
func TestStorageDaemon(t *testing.T) {
	blocktest.TestDevice(t, func(t *testing.T) block.Device {
		file := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Dial(daemon(t, file, ",writable=on,num-queues=2"), FrontendConfig{Queues: 2})
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
	t.Run("read-only", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(file, bytes.Repeat([]byte{7}, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Dial(daemon(t, file, ""), FrontendConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		p := make([]byte, 4096)
		if _, err := f.ReadAt(p, 0); err != nil || p[17] != 7 || !f.ReadOnly() {
			t.Errorf("%v, read-only %v", err, f.ReadOnly())
		}
		if _, err := f.WriteAt(p, 0); !errors.Is(err, block.ErrReadOnly) {
			t.Errorf("a write: %v", err)
		}
	})
}

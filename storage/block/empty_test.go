package block_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/block/overlay"
)

// TestEmpty makes all calls on devices of no bytes: errors, and no panics. What
// grows in a File so is another matter: writes do not.
func TestEmpty(t *testing.T) {
	for name, open := range map[string]func() (block.Device, error){
		"Memory":  func() (block.Device, error) { return block.NewMemory(0), nil },
		"Bytes":   func() (block.Device, error) { return block.Adapt([]byte{}) },
		"Nil":     func() (block.Device, error) { return block.Adapt([]byte(nil)) },
		"Blocks":  func() (block.Device, error) { return blocks{block.NewMemory(0)}, nil },
		"Overlay": func() (block.Device, error) { return overlay.InMemory(block.NewMemory(0)) },
		"File": func() (block.Device, error) {
			return block.OpenFile(filepath.Join(t.TempDir(), "disk"), block.FileConfig{Create: true})
		},
		"Partition": func() (block.Device, error) { return filter.NewPartition(block.NewMemory(10), 10, 0) },
		"Volatile":  func() (block.Device, error) { return filter.NewVolatile(block.NewMemory(0)) },
		"Checksum":  func() (block.Device, error) { return filter.NewChecksum(block.NewMemory(0)) },
	} {
		dev, err := open()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d, err := block.NewDisk(dev)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkEmpty(t, name, d)
		if err := d.Sync(); err != nil {
			t.Errorf("%s: Sync: %v", name, err)
		}
		if err := d.Extents(0, 0, func(block.Extent) bool { t.Errorf("%s has an extent", name); return true }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		d.Close()
	}
}

// checkEmpty makes calls that are beyond the end.
func checkEmpty(t *testing.T, name string, d *block.Disk) {
	t.Helper()
	p := make([]byte, 4096)
	for call, err := range map[string]error{
		"read":    func() error { _, err := d.ReadAt(p, 0); return err }(),
		"write":   func() error { _, err := d.WriteAt(p, 0); return err }(),
		"FUA":     func() error { _, err := d.WriteAtFUA(p[:1], 0); return err }(),
		"trim":    d.Trim(0, 1),
		"zeroes":  d.WriteZeroes(0, 1, 0),
		"extents": d.Extents(0, 1, func(block.Extent) bool { return true }),
	} {
		if !errors.Is(err, block.ErrRange) {
			t.Errorf("%s: %s: %v", name, call, err)
		}
	}
	if size, err := d.Size(); size != 0 || err != nil {
		t.Errorf("%s: the size is %d (%v)", name, size, err)
	}
}

// TestBecomesEmpty has the size of a device change behind the Disk: what is no
// longer there does not read as zeroes.
func TestBecomesEmpty(t *testing.T) {
	memory := block.NewMemory(1 << 20)
	d, err := block.NewDisk(struct{ block.Device }{memory})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	memory.Resize(0)
	checkEmpty(t, "Memory that became empty", d)
}

package s3

import (
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

// TestDevice holds the disk to the contract of devices: with a journal and without,
// with little memory, and read-only.
func TestDevice(t *testing.T) {
	odd := small()
	odd.Size += 513
	for name, c := range map[string]struct {
		config  Config
		journal int64
	}{
		"journal": {small(), 1 << 20},
		"short":   {odd, 2*smallestArea + journalHeader},
		"none":    {small(), 0},
	} {
		t.Run(name, func(t *testing.T) {
			blocktest.TestDevice(t, func(t *testing.T) block.Device {
				c := c
				if c.journal > 0 {
					c.config.Journal = journalOf(c.journal)
				}
				return mustOpen(t, newMemory(), c.config)
			})
		})
	}
	t.Run("readonly", func(t *testing.T) {
		blocktest.TestDevice(t, func(t *testing.T) block.Device {
			m, c := newMemory(), small()
			d := mustOpen(t, m, c)
			if _, err := d.WriteAt(make([]byte, 70000), 1000); err != nil {
				t.Fatal(err)
			}
			if _, err := d.WriteAt([]byte("something"), 300000); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			c.ReadOnly = true
			return mustOpen(t, m, c)
		})
	})
}

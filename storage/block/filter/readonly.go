package filter

import (
	"context"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// ReadOnly is the device without writes.
func ReadOnly(dev block.Device) (*block.Disk, error) {
	d, err := block.NewDisk(dev)
	if err != nil {
		return nil, err
	}
	return block.NewDisk(&readOnly{observed{d, nothing{}}})
}

type readOnly struct{ observed }

func (d *readOnly) Info() block.Info {
	i := d.observed.Info()
	i.ReadOnly = true
	return i
}

// Sync does nothing: nothing was written here, and the device's owner may be
// another.
func (d *readOnly) SyncContext(context.Context) error { return nil }

type nothing struct{}

func (nothing) Before(context.Context, Op) error                { return nil }
func (nothing) After(context.Context, Op, time.Duration, error) {}

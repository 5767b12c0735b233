package filter

import (
	"context"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// An Op is one call of a device.
type Op struct {
	Kind        Kind
	Off, Length int64 // in bytes; zero for a Sync
	FUA         bool
}

// A Kind is what an Op does. Kinds form sets, by |.
type Kind uint16

// The kinds of calls.
const (
	Read Kind = 1 << iota
	Write
	Sync
	Trim
	Zero
	Extents
	Prefetch
	Resize

	All     = Read | Write | Sync | Trim | Zero | Extents | Prefetch | Resize
	Changes = Write | Trim | Zero | Resize
)

// String is the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Read:
		return "read"
	case Write:
		return "write"
	case Sync:
		return "sync"
	case Trim:
		return "trim"
	case Zero:
		return "zero"
	case Extents:
		return "extents"
	case Prefetch:
		return "prefetch"
	case Resize:
		return "resize"
	}
	return "calls"
}

// An Observer sees each call of a device. Before may wait, until the context ends,
// and may fail the call, which then does not reach the device. After learns of the
// result of those that did, and how long the device took. Both are called from many goroutines.
type Observer interface {
	Before(ctx context.Context, op Op) error
	After(ctx context.Context, op Op, took time.Duration, err error)
}

// Observe puts the observer before a device. What the observer does not change is
// as the device has it.
func Observe(dev block.Device, o Observer) (*block.Disk, error) {
	d, err := block.NewDisk(dev)
	if err != nil {
		return nil, err
	}
	return block.NewDisk(&observed{d, o})
}

// observed embeds no Disk: a method that were promoted would pass the observer by.
type observed struct {
	disk *block.Disk
	o    Observer
}

func (d *observed) Info() block.Info {
	i := d.disk.Info()
	i.BlockSizes = d.disk.BlockSizes() // the Disk behind takes any
	return i
}

func (d *observed) Size() (int64, error) { return d.disk.Size() }
func (d *observed) Close() error         { return d.disk.Close() }

// call makes the call f.
func (d *observed) call(ctx context.Context, op Op, f func() error) error {
	if err := d.o.Before(ctx, op); err != nil {
		return err
	}
	began := time.Now()
	err := f()
	d.o.After(ctx, op, time.Since(began), err)
	return err
}

func (d *observed) ReadAt(p []byte, off int64) (int, error) {
	return d.ReadAtContext(context.Background(), p, off)
}

func (d *observed) WriteAt(p []byte, off int64) (int, error) {
	return d.WriteAtContext(context.Background(), p, off, false)
}

func (d *observed) Sync() error { return d.SyncContext(context.Background()) }

func (d *observed) ReadAtContext(ctx context.Context, p []byte, off int64) (n int, err error) {
	err = d.call(ctx, Op{Read, off, int64(len(p)), false}, func() error {
		n, err = d.disk.ReadAtContext(ctx, p, off)
		return err
	})
	return n, err
}

func (d *observed) WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (n int, err error) {
	err = d.call(ctx, Op{Write, off, int64(len(p)), fua}, func() error {
		n, err = d.disk.WriteAtContext(ctx, p, off, fua)
		return err
	})
	return n, err
}

func (d *observed) SyncContext(ctx context.Context) error {
	return d.call(ctx, Op{Kind: Sync}, func() error { return d.disk.SyncContext(ctx) })
}

func (d *observed) TrimContext(ctx context.Context, off, length int64) error {
	return d.call(ctx, Op{Trim, off, length, false}, func() error { return d.disk.TrimContext(ctx, off, length) })
}

func (d *observed) WriteZeroesContext(ctx context.Context, off, length int64, flags block.ZeroFlags) error {
	return d.call(ctx, Op{Zero, off, length, flags&block.ZeroFUA != 0}, func() error {
		return d.disk.WriteZeroesContext(ctx, off, length, flags)
	})
}

func (d *observed) ExtentsContext(ctx context.Context, off, length int64, yield func(block.Extent) bool) error {
	return d.call(ctx, Op{Extents, off, length, false}, func() error { return d.disk.ExtentsContext(ctx, off, length, yield) })
}

func (d *observed) Prefetch(off, length int64) error {
	return d.call(context.Background(), Op{Prefetch, off, length, false}, func() error { return d.disk.Prefetch(off, length) })
}

func (d *observed) Resize(size int64) error {
	return d.call(context.Background(), Op{Resize, size, 0, false}, func() error { return d.disk.Resize(size) })
}

func (d *observed) NotifyResize(f func(size int64)) (stop func()) { return d.disk.NotifyResize(f) }

func (d *observed) Claim() error   { return d.disk.Claim() }
func (d *observed) Unclaim() error { return d.disk.Unclaim() }

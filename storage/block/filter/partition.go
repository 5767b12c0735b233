package filter

import (
	"context"
	"fmt"

	"github.com/seed-012105e5/gonet/storage/block"
)

// NewPartition makes a device of length bytes of another, from off on.
func NewPartition(dev block.Device, off, length int64) (*block.Disk, error) {
	whole, err := block.NewDisk(dev)
	if err != nil {
		return nil, err
	}
	size, err := whole.Size()
	if err != nil {
		return nil, err
	}
	if off < 0 || length < 0 || off > size || length > size-off {
		return nil, fmt.Errorf("filter: %d bytes at %d of a device of %d: %w", length, off, size, block.ErrRange)
	}
	return block.NewDisk(&part{whole, off, length})
}

// part shifts ranges, which the Disk before it has checked.
type part struct {
	whole       *block.Disk
	off, length int64
}

func (p *part) Size() (int64, error) { return p.length, nil }

// Info is that of the device, but for the size, which stays. What is aligned in the
// part need not be so in the whole, whose Disk sees to it.
func (p *part) Info() block.Info {
	i := p.whole.Info()
	i.Resize, i.Notify = false, false
	i.BlockSizes = block.BlockSizes{}
	if b := p.whole.BlockSizes().Preferred; b > 0 && p.off%int64(b) == 0 {
		i.BlockSizes.Preferred = b
	}
	return i
}

func (p *part) ReadAt(b []byte, off int64) (int, error)  { return p.whole.ReadAt(b, p.off+off) }
func (p *part) WriteAt(b []byte, off int64) (int, error) { return p.whole.WriteAt(b, p.off+off) }
func (p *part) Sync() error                              { return p.whole.Sync() }

func (p *part) ReadAtContext(ctx context.Context, b []byte, off int64) (int, error) {
	return p.whole.ReadAtContext(ctx, b, p.off+off)
}

func (p *part) WriteAtContext(ctx context.Context, b []byte, off int64, fua bool) (int, error) {
	return p.whole.WriteAtContext(ctx, b, p.off+off, fua)
}

func (p *part) SyncContext(ctx context.Context) error { return p.whole.SyncContext(ctx) }

func (p *part) TrimContext(ctx context.Context, off, length int64) error {
	return p.whole.TrimContext(ctx, p.off+off, length)
}

func (p *part) WriteZeroesContext(ctx context.Context, off, length int64, flags block.ZeroFlags) error {
	return p.whole.WriteZeroesContext(ctx, p.off+off, length, flags)
}

func (p *part) ExtentsContext(ctx context.Context, off, length int64, yield func(block.Extent) bool) error {
	return p.whole.ExtentsContext(ctx, p.off+off, length, func(e block.Extent) bool {
		e.Off -= p.off
		return yield(e)
	})
}

func (p *part) Prefetch(off, length int64) error { return p.whole.Prefetch(p.off+off, length) }

func (p *part) Close() error { return p.whole.Close() }

func (p *part) Claim() error   { return p.whole.Claim() }
func (p *part) Unclaim() error { return p.whole.Unclaim() }

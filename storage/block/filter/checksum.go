package filter

import (
	"context"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"syscall"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/rangelock"
)

// ErrChecksum says that a device has returned other data than was written to it, or
// than it returned before. It is EIO.
var ErrChecksum = fmt.Errorf("filter: the checksum is wrong: %w", syscall.EIO)

const checksumBlock = 4096 // or less, where the size is no multiple of it

// Checksum is a device that remembers the CRC-32C of each block of 4 KB that is
// written or read through it, and fails reads of a block that has another. It
// remembers in memory, a thousandth of the device's size: it finds what devices,
// caches and networks spoil while a program runs. What the first read of a block
// returns is taken for right, and so is that after a Trim.
type Checksum struct {
	*block.Disk
	check *checksum
}

// NewChecksum puts a Checksum before the device, whose size must be a multiple of
// 512 and not change.
func NewChecksum(dev block.Device) (*Checksum, error) {
	disk, err := block.NewDisk(dev)
	if err != nil {
		return nil, err
	}
	if err := disk.Claim(); err != nil { // and it stays so: sums are of what it holds
		return nil, err
	}
	size, err := disk.Size()
	if err != nil {
		return nil, err
	}
	if size%sectorSize != 0 {
		return nil, fmt.Errorf("filter: checksums of a device of %d bytes, no multiple of %d: %w", size, sectorSize, block.ErrAlignment)
	}
	unit := int64(checksumBlock)
	for size%unit != 0 {
		unit /= 2
	}
	c := &checksum{disk: disk, size: size, unit: unit, ranges: rangelock.New(),
		sums: make([]atomic.Uint32, size/unit), table: crc32.MakeTable(crc32.Castagnoli)}
	c.zeroes = c.sum(make([]byte, unit))
	d, err := block.NewDisk(c)
	return &Checksum{d, c}, err
}

// Wrong is how many blocks were found that had another checksum.
func (c *Checksum) Wrong() int64 { return c.check.wrong.Load() }

// checksum has whole blocks only: the Disk before it sees to that.
type checksum struct {
	disk       *block.Disk
	size, unit int64
	ranges     *rangelock.Table // writes are alone, so that data and sums come in one order
	sums       []atomic.Uint32  // by block, 0 where none is known
	table      *crc32.Table
	zeroes     uint32 // the sum of a block of zeroes
	wrong      atomic.Int64
}

func (c *checksum) Info() block.Info {
	i := c.disk.Info()
	i.Resize, i.Notify = false, false
	i.BlockSizes = block.BlockSizes{Minimum: int(c.unit), Preferred: c.disk.BlockSizes().Preferred}
	return i
}

func (c *checksum) Size() (int64, error) { return c.size, nil }
func (c *checksum) Close() error         { return c.disk.Close() }

// sum is the checksum of a block, never 0.
func (c *checksum) sum(p []byte) uint32 { return max(crc32.Checksum(p, c.table), 1) }

func (c *checksum) ReadAt(p []byte, off int64) (int, error) {
	return c.ReadAtContext(context.Background(), p, off)
}

func (c *checksum) ReadAtContext(ctx context.Context, p []byte, off int64) (int, error) {
	r, err := c.ranges.Enter(ctx, off, off+int64(len(p)), false)
	if err != nil {
		return 0, err
	}
	defer c.ranges.Leave(r)
	if n, err := c.disk.ReadAtContext(ctx, p, off); err != nil {
		return n, err
	}
	for at := int64(0); at < int64(len(p)); at += c.unit {
		sum := c.sum(p[at : at+c.unit])
		known := &c.sums[(off+at)/c.unit]
		if known.CompareAndSwap(0, sum) || known.Load() == sum {
			continue
		}
		c.wrong.Add(1)
		return int(at), &block.MediumError{Op: "read", Off: off + at, Err: ErrChecksum}
	}
	return len(p), nil
}

// change makes a write by f, after which block i of the range has the checksum
// sum(i). If f fails, none is known.
func (c *checksum) change(ctx context.Context, off, length int64, f func() error, sum func(i int64) uint32) error {
	r, err := c.ranges.Enter(ctx, off, off+length, true)
	if err != nil {
		return err
	}
	defer c.ranges.Leave(r)
	err = f()
	for i := range length / c.unit {
		value := uint32(0)
		if err == nil {
			value = sum(i)
		}
		c.sums[off/c.unit+i].Store(value)
	}
	return err
}

func (c *checksum) WriteAt(p []byte, off int64) (int, error) {
	return c.WriteAtContext(context.Background(), p, off, false)
}

func (c *checksum) WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (n int, err error) {
	err = c.change(ctx, off, int64(len(p)), func() error {
		n, err = c.disk.WriteAtContext(ctx, p, off, fua)
		return err
	}, func(i int64) uint32 { return c.sum(p[i*c.unit:][:c.unit]) })
	return n, err
}

func (c *checksum) WriteZeroesContext(ctx context.Context, off, length int64, flags block.ZeroFlags) error {
	return c.change(ctx, off, length, func() error { return c.disk.WriteZeroesContext(ctx, off, length, flags) },
		func(int64) uint32 { return c.zeroes })
}

func (c *checksum) TrimContext(ctx context.Context, off, length int64) error {
	first, end := off/c.unit*c.unit, min(c.size, (off+length+c.unit-1)/c.unit*c.unit)
	return c.change(ctx, first, end-first, func() error { return c.disk.TrimContext(ctx, off, length) },
		func(int64) uint32 { return 0 })
}

func (c *checksum) Sync() error                           { return c.disk.Sync() }
func (c *checksum) SyncContext(ctx context.Context) error { return c.disk.SyncContext(ctx) }

func (c *checksum) ExtentsContext(ctx context.Context, off, length int64, yield func(block.Extent) bool) error {
	return c.disk.ExtentsContext(ctx, off, length, yield)
}

func (c *checksum) Prefetch(off, length int64) error { return c.disk.Prefetch(off, length) }

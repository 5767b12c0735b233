package block

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/seed-012105e5/gonet/storage/internal/rangelock"
)

// A Disk is a device with all powers. What its device has of them it uses; what
// the device lacks, or answers with [ErrNotSupported], it does by other means:
//
//   - FUA is a write and a Sync.
//   - WriteZeroes writes zeroes as data, some at a time; with ZeroFast it is
//     refused.
//   - Trim and Prefetch do nothing.
//   - Extents tells of one extent of data.
//   - Reads and writes that are not aligned to the device's block size, or longer
//     than it takes, go through a buffer and in pieces. Blocks that a write fills
//     only in part are read, changed and written back; no other write to them is
//     under way meanwhile.
//   - Resize is refused.
//
// A Disk is itself a [Device] with all optional interfaces. It checks ranges and
// whether the device takes writes, so that devices need not. Its methods may be
// called at the same time; they allocate nothing in the steady state.
//
// Methods with a context return its error when it ends before they do. A device
// that knows no contexts is then not interrupted: the context is looked at before
// each call of the device.
type Disk struct {
	dev  Device
	info Info

	// The powers that the device has, or nil.
	ctxDevice  ContextDevice
	fua        FUAWriter
	trim       Trimmer
	ctxTrim    ContextTrimmer
	zero       ZeroWriter
	ctxZero    ContextZeroWriter
	extents    ExtentLister
	ctxExtents ContextExtentLister
	prefetch   Prefetcher
	resize     Resizer
	notify     ResizeNotifier
	vector     VectorDevice

	notices ResizeNotices    // where the device gives none
	bounces sync.Pool        // of *bounce
	mergers sync.Pool        // of *extentMerger
	writes  *rangelock.Table // of writes under way, where blocks are larger than a byte
}

// Info says what a disk is and which powers its device has by itself. Those that
// are false [Disk] emulates.
type Info struct {
	ReadOnly   bool
	Rotational bool
	MultiConn  bool // as [MultiWriter] has it

	FUA      bool
	Trim     bool
	Zero     bool // WriteZeroes is not sent as data, as a rule
	Extents  bool
	Prefetch bool
	Resize   bool
	Notify   bool // changes of size by others than this Disk are told

	BlockSizes BlockSizes // the device's; [Disk] takes any alignment and length
}

const (
	bounceSize      = 64 << 10
	largestMinimum  = 64 << 20
	largestAlignMem = 1 << 20
)

// NewDisk gives the device all powers. It fails if the device cannot tell its size
// or has impossible block sizes. Of a Disk it returns the Disk.
//
// All users of a device share one Disk: only that one knows of all writes that read
// blocks, change them and write them back.
func NewDisk(dev Device) (*Disk, error) {
	if d, ok := dev.(*Disk); ok {
		return d, nil
	}
	if dev == nil {
		return nil, fmt.Errorf("block: no device: %w", ErrNotSupported)
	}
	d := &Disk{dev: dev, info: infoOf(dev), writes: rangelock.New()}
	d.ctxDevice, _ = dev.(ContextDevice)
	d.fua, _ = dev.(FUAWriter)
	d.trim, _ = dev.(Trimmer)
	d.ctxTrim, _ = dev.(ContextTrimmer)
	d.zero, _ = dev.(ZeroWriter)
	d.ctxZero, _ = dev.(ContextZeroWriter)
	d.extents, _ = dev.(ExtentLister)
	d.ctxExtents, _ = dev.(ContextExtentLister)
	d.prefetch, _ = dev.(Prefetcher)
	d.resize, _ = dev.(Resizer)
	d.notify, _ = dev.(ResizeNotifier)
	d.vector, _ = dev.(VectorDevice)
	if err := d.info.BlockSizes.check(); err != nil {
		return nil, err
	}
	size, err := dev.Size()
	if err != nil {
		return nil, fmt.Errorf("block: the size of the device: %w", err)
	}
	if size < 0 || size%int64(d.blockSize()) != 0 {
		return nil, fmt.Errorf("block: a size of %d bytes, which is no multiple of the block size %d: %w", size, d.blockSize(), ErrAlignment)
	}
	return d, nil
}

// infoOf finds what dev says of itself.
func infoOf(dev Device) (i Info) {
	if d, ok := dev.(InfoDevice); ok {
		return d.Info()
	}
	return infoOfMethods(dev)
}

// infoOfMethods finds what the methods of dev say.
func infoOfMethods(dev Device) (i Info) {
	if r, ok := dev.(ReadOnlyDevice); ok {
		i.ReadOnly = r.ReadOnly()
	}
	if r, ok := dev.(RotationalDevice); ok {
		i.Rotational = r.Rotational()
	}
	i.MultiConn = true
	if m, ok := dev.(MultiWriter); ok {
		i.MultiConn = m.MultiConn()
	}
	if b, ok := dev.(BlockSizer); ok {
		i.BlockSizes = b.BlockSizes()
	}
	_, i.FUA = dev.(FUAWriter)
	_, i.Trim = dev.(Trimmer)
	_, i.Zero = dev.(ZeroWriter)
	_, i.Extents = dev.(ExtentLister)
	_, i.Prefetch = dev.(Prefetcher)
	_, i.Resize = dev.(Resizer)
	_, i.Notify = dev.(ResizeNotifier)
	return i
}

// check says whether the sizes are possible.
func (b BlockSizes) check() error {
	bad := func(n, largest int) bool { return n < 0 || n > largest || n&(n-1) != 0 }
	if bad(b.Minimum, largestMinimum) || bad(b.Memory, largestAlignMem) ||
		b.Preferred < 0 || b.Maximum < 0 || b.Maximum > 0 && b.Maximum < b.Minimum {
		return fmt.Errorf("block: impossible block sizes %+v: %w", b, ErrAlignment)
	}
	return nil
}

// blockSize is the alignment that the device asks for.
func (d *Disk) blockSize() int { return max(d.info.BlockSizes.Minimum, 1) }

// Device is what the Disk was made of.
func (d *Disk) Device() Device { return d.dev }

// Info says what the disk is, and what its device does by itself.
func (d *Disk) Info() Info { return d.info }

// ReadOnly says whether all writes fail with ErrReadOnly.
func (d *Disk) ReadOnly() bool { return d.info.ReadOnly }

// Rotational says whether far seeks cost more than near ones.
func (d *Disk) Rotational() bool { return d.info.Rotational }

// MultiConn is as [MultiWriter] has it.
func (d *Disk) MultiConn() bool { return d.info.MultiConn }

// BlockSizes tells the sizes for users of the disk: any alignment, any length, and
// what the device prefers.
func (d *Disk) BlockSizes() BlockSizes {
	b := d.info.BlockSizes
	return BlockSizes{Preferred: max(b.Preferred, b.Minimum)}
}

// Size asks the device for its size, rounded down to its blocks.
func (d *Disk) Size() (int64, error) {
	size, err := d.dev.Size()
	if err != nil {
		return 0, err
	}
	return max(size, 0) &^ (int64(d.blockSize()) - 1), nil
}

// check returns an error unless the range lies in the disk.
func (d *Disk) check(off, length int64) error {
	size, err := d.Size()
	if err != nil {
		return err
	}
	if off < 0 || length < 0 || off > size || length > size-off {
		return ErrRange
	}
	return nil
}

// checkWrite is check for what changes the range.
func (d *Disk) checkWrite(off, length int64) error {
	if d.info.ReadOnly {
		return ErrReadOnly
	}
	return d.check(off, length)
}

// Sync is SyncContext without a context.
func (d *Disk) Sync() error { return d.SyncContext(context.Background()) }

// SyncContext returns when all that was written before is durable.
func (d *Disk) SyncContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.ctxDevice != nil {
		if err := d.ctxDevice.SyncContext(ctx); !errors.Is(err, ErrNotSupported) {
			return err
		}
	}
	return d.dev.Sync()
}

// Trim is TrimContext without a context.
func (d *Disk) Trim(off, length int64) error {
	return d.TrimContext(context.Background(), off, length)
}

// TrimContext lets the device forget the range. It reads as zeroes or as it did
// before.
func (d *Disk) TrimContext(ctx context.Context, off, length int64) error {
	if err := d.checkWrite(off, length); err != nil || length == 0 {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := error(ErrNotSupported)
	if d.ctxTrim != nil {
		err = d.ctxTrim.TrimContext(ctx, off, length)
	}
	if d.trim != nil && errors.Is(err, ErrNotSupported) {
		err = d.trim.Trim(off, length)
	}
	if errors.Is(err, ErrNotSupported) {
		return nil
	}
	return err
}

// Prefetch brings the range nearer if the device can.
func (d *Disk) Prefetch(off, length int64) error {
	if err := d.check(off, length); err != nil || length == 0 || d.prefetch == nil {
		return err
	}
	if err := d.prefetch.Prefetch(off, length); !errors.Is(err, ErrNotSupported) {
		return err
	}
	return nil
}

// Resize changes the size, or fails with ErrNotSupported where the device has no
// means.
func (d *Disk) Resize(size int64) error {
	switch {
	case d.info.ReadOnly:
		return ErrReadOnly
	case d.resize == nil:
		return ErrNotSupported
	case size < 0:
		return ErrRange
	case size%int64(d.blockSize()) != 0:
		return ErrAlignment
	}
	if err := d.resize.Resize(size); err != nil {
		return err
	}
	if d.notify == nil {
		d.notices.Tell(size)
	}
	return nil
}

// NotifyResize has f called with each new size until stop is called: with those
// that come by this Disk's Resize, and others if the device tells of them. f must
// not block and must not call the disk.
func (d *Disk) NotifyResize(f func(size int64)) (stop func()) {
	if d.notify != nil {
		return d.notify.NotifyResize(f)
	}
	return d.notices.NotifyResize(f)
}

// Close closes the device if it can be closed.
func (d *Disk) Close() error {
	if c, ok := d.dev.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

package block

import (
	"context"
	"errors"
	"io"
	"unsafe"

	"github.com/seed-012105e5/gonet/storage/internal/rangelock"
)

// ReadAt is ReadAtContext without a context.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	return d.ReadAtContext(context.Background(), p, off)
}

// WriteAt is WriteAtContext without a context and without FUA.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	return d.WriteAtContext(context.Background(), p, off, false)
}

// WriteAtFUA is WriteAtContext without a context and with FUA.
func (d *Disk) WriteAtFUA(p []byte, off int64) (int, error) {
	return d.WriteAtContext(context.Background(), p, off, true)
}

// ReadAtContext reads len(p) bytes at off. With an error, n are good.
func (d *Disk) ReadAtContext(ctx context.Context, p []byte, off int64) (n int, err error) {
	if err := d.check(off, int64(len(p))); err != nil || len(p) == 0 {
		return 0, err
	}
	if d.fits(p, off) {
		return d.read(ctx, p, off)
	}
	for n < len(p) {
		at := off + int64(n)
		done := d.direct(p[n:], at)
		if done > 0 {
			_, err = d.read(ctx, p[n:n+done], at)
		} else {
			done, err = d.readBounced(ctx, p[n:], at)
		}
		if err != nil {
			return n, err
		}
		n += done
	}
	return n, nil
}

// WriteAtContext writes p at off. With fua it is durable when it returns nil. With
// an error, what the range holds is undefined; n is what was certainly written.
func (d *Disk) WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (n int, err error) {
	if err := d.checkWrite(off, int64(len(p))); err != nil || len(p) == 0 {
		return 0, err
	}
	if d.blockSize() > 1 {
		s, err := d.enter(ctx, off, int64(len(p)))
		if err != nil {
			return 0, err
		}
		defer d.writes.Leave(s)
	}
	if d.fits(p, off) {
		return d.write(ctx, p, off, fua)
	}
	native := fua && (d.ctxDevice != nil || d.fua != nil)
	for n < len(p) {
		at := off + int64(n)
		done := d.direct(p[n:], at)
		if done > 0 {
			_, err = d.write(ctx, p[n:n+done], at, native)
		} else {
			done, err = d.writeBounced(ctx, p[n:], at, native)
		}
		if err != nil {
			return n, err
		}
		n += done
	}
	if fua && !native {
		return n, d.SyncContext(ctx)
	}
	return n, nil
}

// enter waits until no write disturbs one of this range. One that reads blocks,
// changes and writes them back is alone on them: what another writes there meanwhile
// would be undone. Writes of whole blocks disturb only such ones. The result must
// leave.
func (d *Disk) enter(ctx context.Context, off, length int64) (*rangelock.Range, error) {
	mask := int64(d.blockSize()) - 1
	lo, hi := off&^mask, (off+length+mask)&^mask
	return d.writes.Enter(ctx, lo, hi, lo != off || hi != off+length)
}

// fits says whether the device takes the whole transfer as it is.
func (d *Disk) fits(p []byte, off int64) bool { return d.direct(p, off) == len(p) }

// direct is how much of a transfer the device takes as it is, in one call. Zero if
// it must go through a buffer.
func (d *Disk) direct(p []byte, off int64) int {
	size := d.blockSize()
	if off&int64(size-1) != 0 || !d.inMemoryAligned(p, 0) {
		return 0
	}
	n := len(p)
	if m := d.info.BlockSizes.Maximum; m > 0 {
		n = min(n, m)
	}
	return n &^ (size - 1)
}

// inMemoryAligned says whether the address of p, skip bytes on, is one that the
// device takes.
func (d *Disk) inMemoryAligned(p []byte, skip int) bool {
	m := uintptr(d.info.BlockSizes.Memory)
	return m <= 1 || (uintptr(unsafe.Pointer(unsafe.SliceData(p)))+uintptr(skip))&(m-1) == 0
}

// window is what of a transfer goes through a buffer next: whole blocks of the
// device from lo, length bytes that hold n of the transfer. If the rest may go
// without, it ends at the first block where it may.
func (d *Disk) window(p []byte, off int64) (lo int64, length, n int) {
	size := d.blockSize()
	lo = off &^ (int64(size) - 1)
	skip := int(off - lo)
	most := max(bounceSize, size)
	if m := d.info.BlockSizes.Maximum; m > 0 {
		most = min(most, m&^(size-1))
	}
	length = min((skip+len(p)+size-1)&^(size-1), most)
	if skip+len(p) > most && skip > 0 && d.inMemoryAligned(p, size-skip) {
		length = size
	}
	return lo, length, min(len(p), length-skip)
}

// readBounced reads the window of the transfer and returns how much that was.
func (d *Disk) readBounced(ctx context.Context, p []byte, off int64) (int, error) {
	b := d.bounce()
	defer d.bounces.Put(b)
	lo, length, n := d.window(p, off)
	if _, err := d.read(ctx, b.bytes[:length], lo); err != nil {
		return 0, err
	}
	return copy(p[:n], b.bytes[off-lo:]), nil
}

// writeBounced writes the window of the transfer: it reads what the window has more
// than the transfer, and writes whole blocks. The caller has entered.
func (d *Disk) writeBounced(ctx context.Context, p []byte, off int64, fua bool) (int, error) {
	b := d.bounce()
	defer d.bounces.Put(b)
	lo, length, n := d.window(p, off)
	size := d.blockSize()
	skip := int(off - lo)
	first, last := b.bytes[:size], b.bytes[length-size:length]
	if skip > 0 || n < size {
		if _, err := d.read(ctx, first, lo); err != nil {
			return 0, err
		}
	}
	if skip+n < length && length > size {
		if _, err := d.read(ctx, last, lo+int64(length-size)); err != nil {
			return 0, err
		}
	}
	copy(b.bytes[skip:], p[:n])
	_, err := d.write(ctx, b.bytes[:length], lo, fua)
	return n, err
}

// A bounce is a buffer that the device takes.
type bounce struct{ bytes []byte }

// bounce takes a buffer from the pool.
func (d *Disk) bounce() *bounce {
	if b, ok := d.bounces.Get().(*bounce); ok {
		return b
	}
	size, align := max(bounceSize, d.blockSize()), max(d.info.BlockSizes.Memory, 1)
	all := make([]byte, size+align-1)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(all)))) & (align - 1)
	return &bounce{all[skip : skip+size]}
}

// read is one read by the device.
func (d *Disk) read(ctx context.Context, p []byte, off int64) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if d.ctxDevice != nil {
		n, err = d.ctxDevice.ReadAtContext(ctx, p, off)
	}
	if d.ctxDevice == nil || err != nil && errors.Is(err, ErrNotSupported) {
		n, err = d.dev.ReadAt(p, off)
	}
	return complete(n, len(p), err, io.ErrUnexpectedEOF)
}

// write is one write by the device, durable at its end with fua.
func (d *Disk) write(ctx context.Context, p []byte, off int64, fua bool) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	native := fua
	switch {
	case d.ctxDevice != nil:
		n, err = d.ctxDevice.WriteAtContext(ctx, p, off, fua)
	case fua && d.fua != nil:
		n, err = d.fua.WriteAtFUA(p, off)
	default:
		err = ErrNotSupported
	}
	if err != nil && errors.Is(err, ErrNotSupported) {
		native = false
		n, err = d.dev.WriteAt(p, off)
	}
	if n, err = complete(n, len(p), err, io.ErrShortWrite); err == nil && fua && !native {
		err = d.SyncContext(ctx)
	}
	return n, err
}

// complete holds a device to the contract of io.ReaderAt and io.WriterAt: all was
// done, perhaps up to the end, or there is an error.
func complete(n, length int, err, short error) (int, error) {
	if n == length && (err == nil || err == io.EOF) {
		return n, nil
	}
	if err == nil || err == io.EOF {
		err = short
	}
	return min(max(n, 0), length), err
}

package block

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Adapt makes a device of what can be read, and perhaps written, at an offset:
//
//   - a [Device], which it returns as it is;
//   - a []byte, which is then the memory of the device;
//   - an *os.File, as [NewFile] does, not locked;
//   - an io.ReaderAt that tells its size by Size, Len or Seek, read-only unless it
//     is an io.WriterAt too;
//   - an io.ReadSeeker, read-only unless it is an io.Writer too. It has one position,
//     so calls take turns.
//
// Sync calls Sync or Flush, if there is one of them; if not, it does nothing. Close
// calls Close. The size does not change.
//
// What has no position, as an io.ReadWriter, is no disk and is refused.
func Adapt(v any) (Device, error) {
	switch v := v.(type) {
	case Device:
		return v, nil
	case []byte:
		return &bytesDevice{b: v}, nil
	case *os.File:
		return NewFile(v, FileConfig{Shared: true})
	case io.ReaderAt:
		return adaptReaderAt(v)
	case io.ReadSeeker:
		size, err := v.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, fmt.Errorf("block: the size of a %T: %w", v, err)
		}
		w, _ := v.(io.Writer)
		d := &seekDevice{adapted{v, size}, v, w, make(chan struct{}, 1)}
		return d, nil
	case io.ReadWriter:
		return nil, fmt.Errorf("block: a %T can be read and written but has no position, and a disk is read and written anywhere: give something with ReadAt and WriteAt, or with Seek: %w", v, ErrNotSupported)
	}
	return nil, fmt.Errorf("block: a %T cannot be read at an offset: %w", v, ErrNotSupported)
}

func adaptReaderAt(r io.ReaderAt) (Device, error) {
	var size int64
	switch s := r.(type) {
	case interface{ Size() int64 }:
		size = s.Size()
	case interface{ Len() int }:
		size = int64(s.Len())
	case io.Seeker:
		var err error
		if size, err = s.Seek(0, io.SeekEnd); err != nil {
			return nil, fmt.Errorf("block: the size of a %T: %w", r, err)
		}
	default:
		return nil, fmt.Errorf("block: a %T does not tell its size by Size, Len or Seek: %w", r, ErrNotSupported)
	}
	w, _ := r.(io.WriterAt)
	return &readerAtDevice{adapted{r, size}, r, w}, nil
}

// adapted is what the devices that Adapt makes have in common.
type adapted struct {
	of   any
	size int64
}

func (a adapted) Size() (int64, error) { return a.size, nil }

func (a adapted) check(p []byte, off int64) error {
	if off < 0 || off > a.size || int64(len(p)) > a.size-off {
		return ErrRange
	}
	return nil
}

func (a adapted) Sync() error {
	switch s := a.of.(type) {
	case interface{ Sync() error }:
		return s.Sync()
	case interface{ Flush() error }:
		return s.Flush()
	}
	return nil
}

func (a adapted) Close() error {
	if c, ok := a.of.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

type readerAtDevice struct {
	adapted
	r io.ReaderAt
	w io.WriterAt // or nil
}

func (d *readerAtDevice) ReadOnly() bool { return d.w == nil }

func (d *readerAtDevice) ReadAt(p []byte, off int64) (int, error) {
	if err := d.check(p, off); err != nil {
		return 0, err
	}
	return d.r.ReadAt(p, off)
}

func (d *readerAtDevice) WriteAt(p []byte, off int64) (int, error) {
	if d.w == nil {
		return 0, ErrReadOnly
	}
	if err := d.check(p, off); err != nil {
		return 0, err
	}
	return d.w.WriteAt(p, off)
}

// A seekDevice has a position, which belongs to whoever has the turn.
type seekDevice struct {
	adapted
	r    io.ReadSeeker
	w    io.Writer // or nil
	turn chan struct{}
}

func (d *seekDevice) ReadOnly() bool { return d.w == nil }

// at calls f at the position off.
func (d *seekDevice) at(p []byte, off int64, f func(p []byte) (int, error)) (int, error) {
	if err := d.check(p, off); err != nil {
		return 0, err
	}
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	if _, err := d.r.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	return f(p)
}

func (d *seekDevice) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.at(p, off, func(p []byte) (int, error) { return io.ReadFull(d.r, p) })
	if errors.Is(err, io.EOF) && len(p) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (d *seekDevice) WriteAt(p []byte, off int64) (int, error) {
	if d.w == nil {
		return 0, ErrReadOnly
	}
	return d.at(p, off, d.w.Write)
}

func (d *seekDevice) Sync() error {
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	return d.adapted.Sync()
}

// A bytesDevice is a slice.
type bytesDevice struct {
	mu sync.RWMutex // held for a copy
	b  []byte
}

func (d *bytesDevice) Size() (int64, error) { return int64(len(d.b)), nil }
func (d *bytesDevice) Sync() error          { return nil }

func (d *bytesDevice) ReadAt(p []byte, off int64) (int, error) {
	if err := (adapted{size: int64(len(d.b))}).check(p, off); err != nil {
		return 0, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return copy(p, d.b[off:]), nil
}

func (d *bytesDevice) WriteAt(p []byte, off int64) (int, error) {
	if err := (adapted{size: int64(len(d.b))}).check(p, off); err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return copy(d.b[off:], p), nil
}

// WriteAtFUA is WriteAt: memory is as durable as it ever will be.
func (d *bytesDevice) WriteAtFUA(p []byte, off int64) (int, error) { return d.WriteAt(p, off) }

// WriteZeroes clears the range.
func (d *bytesDevice) WriteZeroes(off, length int64, _ ZeroFlags) error {
	if size := int64(len(d.b)); off < 0 || length < 0 || off > size || length > size-off {
		return ErrRange
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.b[off : off+length])
	return nil
}

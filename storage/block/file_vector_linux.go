package block

import (
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxVector is how many buffers the kernel takes in one call (IOV_MAX).
const maxVector = 1024

// A vectorCall is preadv2(2) or pwritev2(2). They are pooled, so that one allocates
// nothing.
type vectorCall struct {
	number uintptr // of the system call
	flags  uintptr
	off    int64
	iov    []unix.Iovec
	n      int
	errno  unix.Errno
	run    func(fd uintptr)
}

func newVectorCall() any {
	c := &vectorCall{iov: make([]unix.Iovec, 0, 16)}
	c.run = c.do
	return c
}

func (c *vectorCall) do(fd uintptr) {
	for {
		// The halves of the offset, of which a 64-bit kernel takes the first whole.
		lo, hi := uintptr(c.off), uintptr(uint64(c.off)>>32)
		n, _, errno := unix.Syscall6(c.number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(c.iov))), uintptr(len(c.iov)), lo, hi, c.flags)
		if errno != unix.EINTR {
			c.n, c.errno = int(n), errno
			return
		}
	}
}

// skip drops n bytes from the front, and says whether any are left.
func (c *vectorCall) skip(n int) bool {
	c.off += int64(n)
	for i := range c.iov {
		v := &c.iov[i]
		if length := int(v.Len); n >= length {
			n -= length
			continue
		}
		v.Base = (*byte)(unsafe.Add(unsafe.Pointer(v.Base), n))
		v.SetLen(int(v.Len) - n)
		c.iov = append(c.iov[:0], c.iov[i:]...)
		return true
	}
	c.iov = c.iov[:0]
	return false
}

// vector makes calls until all of bufs has gone. It returns EOF when the file ends
// before.
func (d *File) vector(number, flags uintptr, bufs [][]byte, off int64) (n int, err error) {
	c := d.sys.vectors.Get().(*vectorCall)
	defer func() {
		clear(c.iov[:cap(c.iov)])
		c.iov = c.iov[:0]
		d.sys.vectors.Put(c)
	}()
	c.number, c.flags, c.off = number, flags, off
	for len(bufs) > 0 {
		some := bufs[:min(len(bufs), maxVector)]
		bufs = bufs[len(some):]
		for _, b := range some {
			if len(b) > 0 {
				v := unix.Iovec{Base: unsafe.SliceData(b)}
				v.SetLen(len(b))
				c.iov = append(c.iov, v)
			}
		}
		for more := len(c.iov) > 0; more; more = c.skip(c.n) {
			c.n, c.errno = 0, 0
			if err := d.sys.conn.Control(c.run); err != nil {
				return n, ErrClosed
			}
			if c.errno != 0 {
				return n, c.errno
			}
			if c.n == 0 {
				return n, io.EOF
			}
			n += c.n
		}
	}
	return n, nil
}

// ReadVector is preadv2(2), with noWait of what is in the page cache.
func (d *File) ReadVector(bufs [][]byte, off int64, noWait bool) (int, error) {
	var flags uintptr
	if noWait {
		if d.sys.waits.Load() {
			return 0, ErrNotSupported
		}
		flags = unix.RWF_NOWAIT
	}
	n, err := d.vector(unix.SYS_PREADV2, flags, bufs, off)
	switch {
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case noWait && err == unix.EAGAIN:
		return n, ErrWouldWait
	case noWait && err == unix.EOPNOTSUPP: // by the file system
		d.sys.waits.Store(true)
		return n, ErrNotSupported
	}
	return n, d.wrap("read", off, err)
}

// WriteVector is pwritev2(2).
func (d *File) WriteVector(bufs [][]byte, off int64, fua bool) (n int, err error) {
	if !fua {
		n, err = d.vector(unix.SYS_PWRITEV2, 0, bufs, off)
		if err == io.EOF {
			err = io.ErrShortWrite
		}
		return n, d.wrap("write", off, err)
	}
	d.durable.RLock()
	n, err = d.vector(unix.SYS_PWRITEV2, unix.RWF_DSYNC, bufs, off)
	switch err {
	case io.EOF:
		err = d.fail("write", off, io.ErrShortWrite)
	case unix.EFAULT: // the memory was at fault
		err = d.wrap("write", off, err)
	default:
		err = d.fail("write", off, err)
	}
	d.durable.RUnlock()
	return n, d.settled(err)
}

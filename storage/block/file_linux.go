package block

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fileSystem is what a File needs of Linux.
type fileSystem struct {
	conn       syscall.RawConn // keeps the descriptor while a call is under way
	calls      sync.Pool       // of *fileCall
	sector     int64           // of a block special file
	rotational bool
	vectors    sync.Pool   // of *vectorCall
	waits      atomic.Bool // reads cannot be asked not to wait
}

// openFile opens the file with what Linux has besides.
func openFile(name string, flags int, c FileConfig) (*os.File, error) {
	if c.Direct {
		flags |= unix.O_DIRECT
	}
	if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeDevice != 0 && !c.Shared && !c.ClaimLater && !c.ReadOnly {
		flags = flags&^os.O_CREATE | os.O_EXCL // open(2): fails if the device is mounted or in such use
	}
	f, err := os.OpenFile(name, flags|unix.O_CLOEXEC, 0o644)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("block: %s: %w", name, ErrInUse)
	}
	return f, err
}

func lockFile(f *os.File, shared bool) error { return flock(f, shared) }

// specialSize is the size of a block special file.
func specialSize(f *os.File) (size int64, err error) {
	err = control(f, func(fd int) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size)))
		if errno != 0 {
			return errno
		}
		return nil
	})
	return size, err
}

// open finds out what the file needs and can.
func (d *File) open() (err error) {
	if d.sys.conn, err = d.f.SyscallConn(); err != nil {
		return err
	}
	d.sys.calls.New = func() any {
		c := &fileCall{}
		c.run = c.do
		return c
	}
	d.sys.vectors.New = newVectorCall
	d.datasync = func() error { return d.call(fileCall{what: fdatasync}).err }
	return control(d.f, func(fd int) error {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil {
			d.readOnly = d.readOnly || flags&unix.O_ACCMODE == unix.O_RDONLY
			d.direct = flags&unix.O_DIRECT != 0
		}
		if d.special {
			n, err := unix.IoctlGetInt(fd, unix.BLKSSZGET)
			if err != nil {
				return err
			}
			d.sys.sector = int64(n)
			d.sys.rotational = isRotational(fd)
		}
		if d.direct {
			d.sizes = directSizes(fd, int(d.sys.sector))
		}
		return nil
	})
}

// directSizes is what direct I/O of the file needs: what statx(2) says since Linux
// 6.1, or what is always enough.
func directSizes(fd, sector int) BlockSizes {
	var s unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &s)
	if err == nil && s.Mask&unix.STATX_DIOALIGN != 0 && s.Dio_offset_align > 0 {
		return BlockSizes{Minimum: int(s.Dio_offset_align), Preferred: 4096, Memory: int(max(s.Dio_mem_align, 1))}
	}
	if sector == 0 {
		sector = 4096
	}
	return BlockSizes{Minimum: sector, Preferred: 4096, Memory: max(sector, 512)}
}

// isRotational asks sysfs. Partitions have the queue of their disk.
func isRotational(fd int) bool {
	var s unix.Stat_t
	if unix.Fstat(fd, &s) != nil {
		return false
	}
	dir := fmt.Sprintf("/sys/dev/block/%d:%d/", unix.Major(s.Rdev), unix.Minor(s.Rdev))
	for _, name := range []string{"queue/rotational", "../queue/rotational"} {
		if text, err := os.ReadFile(dir + name); err == nil {
			return strings.TrimSpace(string(text)) == "1"
		}
	}
	return false
}

// What a fileCall is.
const (
	fdatasync = iota
	fallocate
	pwriteDSYNC
	fadvise
	seek
)

// A fileCall is a system call on the descriptor of a file. They are pooled, so that
// one allocates nothing.
type fileCall struct {
	what        int
	mode        int // of fallocate, of fadvise, the whence of seek
	off, length int64
	vec         [1][]byte

	n   int64
	err error
	run func(fd uintptr)
}

// call makes the call and returns it with its result.
func (d *File) call(c fileCall) fileCall {
	p := d.sys.calls.Get().(*fileCall)
	c.run = p.run
	*p = c
	if err := d.sys.conn.Control(p.run); err != nil {
		p.err = ErrClosed
	}
	c = *p
	*p = fileCall{run: c.run}
	d.sys.calls.Put(p)
	return c
}

func (c *fileCall) do(fd uintptr) {
	for {
		c.once(int(fd))
		if c.err != unix.EINTR {
			return
		}
	}
}

func (c *fileCall) once(fd int) {
	switch c.what {
	case fdatasync:
		c.err = unix.Fdatasync(fd)
	case fallocate:
		c.err = unix.Fallocate(fd, uint32(c.mode), c.off, c.length)
	case pwriteDSYNC:
		var n int
		n, c.err = unix.Pwritev2(fd, c.vec[:], c.off, unix.RWF_DSYNC)
		c.n = int64(n)
	case fadvise:
		c.err = unix.Fadvise(fd, c.off, c.length, c.mode)
	case seek:
		c.n, c.err = unix.Seek(fd, c.off, c.mode)
	}
}

// WriteAtFUA writes p at off, durable when it returns nil.
func (d *File) WriteAtFUA(p []byte, off int64) (n int, err error) {
	d.durable.RLock()
	for n < len(p) && err == nil {
		c := d.call(fileCall{what: pwriteDSYNC, off: off + int64(n), vec: [1][]byte{p[n:]}})
		if c.err == nil && c.n == 0 {
			c.err = io.ErrShortWrite
		}
		if c.err != nil {
			err = d.fail("write", off+int64(n), c.err)
			break
		}
		n += int(c.n)
	}
	d.durable.RUnlock()
	return n, d.settled(err)
}

// Trim punches a hole.
func (d *File) Trim(off, length int64) error {
	if n := d.sys.sector; n > 0 { // what is no whole sector stays
		end := (off + length) &^ (n - 1)
		off = (off + n - 1) &^ (n - 1)
		if length = end - off; length <= 0 {
			return nil
		}
	}
	if length == 0 {
		return nil
	}
	return d.allocate("trim", off, length, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE)
}

// allocate is fallocate. ErrNotSupported says that it cannot be had here.
func (d *File) allocate(op string, off, length int64, mode int) error {
	switch err := d.call(fileCall{what: fallocate, off: off, length: length, mode: mode}).err; err {
	case nil, ErrClosed:
		return err
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.ENODEV, unix.EINVAL:
		return ErrNotSupported
	default:
		return &MediumError{op, off, err}
	}
}

// WriteZeroes punches a hole, or with ZeroNoHole, or where there are no holes, makes
// the blocks unwritten.
func (d *File) WriteZeroes(off, length int64, flags ZeroFlags) error {
	if length == 0 {
		return nil
	}
	const hole, zero = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
	err := error(ErrNotSupported)
	if flags&ZeroNoHole == 0 {
		err = d.allocate("zero", off, length, hole)
	}
	// For a block special file ZERO_RANGE may mean that the kernel writes zeroes.
	if errors.Is(err, ErrNotSupported) && !(d.special && flags&ZeroFast != 0) {
		err = d.allocate("zero", off, length, zero)
	}
	if err == nil && flags&ZeroFUA != 0 {
		err = d.Sync()
	}
	return err
}

// Extents tells where the file has holes.
func (d *File) Extents(off, length int64, yield func(Extent) bool) error {
	for end := off + length; off < end; {
		data, err := d.next(off, end, unix.SEEK_DATA)
		if err != nil {
			return err
		}
		if data > off && !yield(Extent{Off: off, Length: data - off, Hole: true, Zero: true}) {
			return nil
		}
		if off = data; off == end {
			return nil
		}
		hole, err := d.next(off, end, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if hole == off { // the file changes meanwhile
			hole = min(end, off+4096-off%4096)
		}
		if !yield(Extent{Off: off, Length: hole - off}) {
			return nil
		}
		off = hole
	}
	return nil
}

// next is where data or a hole begins, at off or after, or end if that is before.
func (d *File) next(off, end int64, whence int) (int64, error) {
	c := d.call(fileCall{what: seek, off: off, mode: whence})
	switch {
	case c.err == unix.ENXIO: // none any more
		return end, nil
	case c.err == unix.EINVAL && whence == unix.SEEK_DATA: // cannot tell: all is data
		return off, nil
	case c.err == unix.EINVAL:
		return end, nil
	case c.err == ErrClosed:
		return 0, ErrClosed
	case c.err != nil:
		return 0, &MediumError{"extents", off, c.err}
	}
	return min(max(c.n, off), end), nil
}

// Prefetch has the kernel read the range into its cache.
func (d *File) Prefetch(off, length int64) error {
	if d.direct {
		return nil
	}
	return d.wrap("prefetch", off, d.call(fileCall{what: fadvise, off: off, length: length, mode: unix.FADV_WILLNEED}).err)
}

// Rotational says what the kernel says of a block special file.
func (d *File) Rotational() bool { return d.sys.rotational }

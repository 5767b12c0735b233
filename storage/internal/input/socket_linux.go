package input

import (
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// mostVectors is how many slices one readv takes here.
const mostVectors = 64

// A socket reads a socket of the kernel: into several slices by one call, and into
// memory that is taken only when something has come.
type socket struct {
	conn syscall.RawConn

	scatter func(fd uintptr) bool // s.tryVector, made once
	vectors []unix.Iovec

	lend func(fd uintptr) bool // s.tryLent, made once
	pool *buffers.Pool
	size int // of the buffer
	most int // that is read
	buf  *buffers.Buffer

	// What was read last.
	n     int
	errno syscall.Errno
}

// newSocket is nil if conn is none.
func newSocket(conn io.Reader) *socket {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{conn: raw}
	s.scatter, s.lend = s.tryVector, s.tryLent
	return s
}

// readVector reads into the parts, of which one call takes some.
func (s *socket) readVector(parts [][]byte) (n int, err error) {
	s.vectors = s.vectors[:0]
	for _, p := range parts {
		if len(p) > 0 && len(s.vectors) < mostVectors {
			v := unix.Iovec{Base: unsafe.SliceData(p)}
			v.SetLen(len(p))
			s.vectors = append(s.vectors, v)
		}
	}
	err = s.conn.Read(s.scatter)
	clear(s.vectors)
	runtime.KeepAlive(parts)
	return s.result(err)
}

// readInto reads at most so many bytes into a buffer of the pool of that size, which it
// returns if there are any.
func (s *socket) readInto(pool *buffers.Pool, size, most int) (b *buffers.Buffer, n int, err error) {
	s.pool, s.size, s.most = pool, size, most
	err = s.conn.Read(s.lend)
	b, s.buf = s.buf, nil
	n, err = s.result(err)
	if n == 0 {
		pool.Put(b)
		b = nil
	}
	return b, n, err
}

func (s *socket) result(err error) (int, error) {
	switch {
	case err != nil:
		return 0, err
	case s.errno != 0:
		return 0, os.NewSyscallError("read", s.errno)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// tryVector reads once, and says whether that was it: false if there is nothing yet.
func (s *socket) tryVector(fd uintptr) bool {
	return s.try(unix.SYS_READV, fd, unsafe.Pointer(unsafe.SliceData(s.vectors)), len(s.vectors))
}

// tryLent is tryVector with a buffer that is given back if there is nothing yet.
func (s *socket) tryLent(fd uintptr) bool {
	s.buf = s.pool.Get(s.size)
	if s.try(unix.SYS_READ, fd, unsafe.Pointer(unsafe.SliceData(s.buf.Bytes)), s.most) {
		return true
	}
	s.pool.Put(s.buf)
	s.buf = nil
	return false
}

func (s *socket) try(call, fd uintptr, p unsafe.Pointer, length int) bool {
	for {
		n, _, errno := syscall.Syscall(call, fd, uintptr(p), uintptr(length))
		if errno == syscall.EINTR {
			continue
		}
		s.n, s.errno = 0, errno
		if errno == 0 {
			s.n = int(n)
		}
		return errno != syscall.EAGAIN
	}
}

package nbd

import (
	"io"
	"net"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mostVectors is how many slices one readv takes here.
const mostVectors = 64

// A socketReader reads a socket of the kernel into several slices by one call.
type socketReader struct {
	conn    syscall.RawConn
	read    func(fd uintptr) bool // r.try, made once
	vectors [mostVectors]unix.Iovec
	used    int

	// What try has done.
	n     int
	errno syscall.Errno
}

// vectored returns what reads conn into several slices at once, or nil.
func vectored(conn io.Reader) vectorReader {
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	r := &socketReader{conn: raw}
	r.read = r.try
	return r
}

func (r *socketReader) readVector(parts [][]byte) (n int, err error) {
	r.used = 0
	for _, p := range parts {
		if len(p) > 0 && r.used < mostVectors {
			v := &r.vectors[r.used]
			v.Base = unsafe.SliceData(p)
			v.SetLen(len(p))
			r.used++
		}
	}
	err = r.conn.Read(r.read)
	clear(r.vectors[:r.used])
	runtime.KeepAlive(parts)
	switch {
	case err != nil:
		return 0, err
	case r.errno != 0:
		return 0, r.errno
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// try reads once, and says whether that was it: false if there is nothing yet.
func (r *socketReader) try(fd uintptr) bool {
	for {
		n, _, errno := syscall.Syscall(unix.SYS_READV, fd, uintptr(unsafe.Pointer(&r.vectors[0])), uintptr(r.used))
		if errno == syscall.EINTR {
			continue
		}
		r.n, r.errno = int(n), errno
		return errno != syscall.EAGAIN
	}
}

//go:build unix

package tcp

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/tcp/machine"
)

// SyscallConn returns what stands for the descriptor of the connection, of which
// there is none, for programs that look whether a connection is alive before they
// use it: drivers of databases do, by a read(2) or a recv(2) with MSG_PEEK in
// [syscall.RawConn.Read].
//
// While the function that is given to Read or Write runs, a pair of local
// sockets mirrors the connection: what can be read, its end, or a reset; and
// what is written. No other call may read meanwhile. Control has a descriptor
// that is no socket, so that setsockopt(2) fails with ENOTSOCK instead of being
// without effect; see the methods of Conn. No descriptor is held between calls.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	return rawConn{c}, nil
}

// A rawConn is the syscall.RawConn of a connection.
type rawConn struct{ conn *Conn }

// mirrored is how many bytes that wait to be read the mirror shows at most. A
// local socket takes them at once.
const mirrored = 16 << 10

func (r rawConn) Control(f func(fd uintptr)) error {
	if r.conn.isClosed.Load() {
		return &net.OpError{Op: "raw-control", Net: networkName(r.conn.isV4), Addr: r.conn.LocalAddr(), Err: net.ErrClosed}
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer file.Close()
	f(file.Fd())
	return nil
}

func (r rawConn) Read(f func(fd uintptr) (done bool)) error {
	for {
		if err := r.conn.callError(passed(&r.conn.readDeadline)); err != nil {
			return r.conn.opError("raw-read", err)
		}
		done, err := r.read(f)
		if done || err != nil {
			return r.conn.opError("raw-read", err)
		}
		// An empty slice waits for something to read, and takes nothing. An end is
		// what f is there to see.
		if err := r.conn.read([]byte{}).err; errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return r.conn.opError("raw-read", err)
		}
	}
}

// read has f look at a mirror, and takes from the connection what f has taken
// from there.
func (r rawConn) read(f func(fd uintptr) bool) (done bool, err error) {
	text, end := r.conn.peek(mirrored)
	m, err := newMirror()
	if err != nil {
		return false, err
	}
	defer m.close()
	if err := m.show(text, end); err != nil {
		return false, err
	}
	done = f(uintptr(m.theirs))
	taken := text[:len(text)-len(drain(m.theirs))]
	for len(taken) > 0 {
		got := r.conn.read(taken)
		if got.err != nil {
			return done, got.err
		}
		taken = taken[got.n:]
	}
	return done, nil
}

func (r rawConn) Write(f func(fd uintptr) (done bool)) error {
	for {
		m, err := newMirror()
		if err != nil {
			return r.conn.opError("raw-write", err)
		}
		if err := r.conn.writeError(); err != nil {
			m.close()
			return r.conn.opError("raw-write", err)
		}
		done := f(uintptr(m.theirs))
		text := drain(m.ours)
		m.close()
		if _, err := r.conn.Write(text); done || err != nil { // it waits as long as f would have to
			return err
		}
	}
}

// peek is what waits to be read, n bytes at most, which stays; and what Read
// returns behind that: io.EOF, an error, or nil when it would wait.
func (c *Conn) peek(n int) (text []byte, end error) {
	if c.do(func(_ time.Time, t *machine.TCB) { text, end = t.Peek(n) }) {
		return text, end
	}
	c.take()
	defer c.release()
	return c.ended.Peek(n)
}

// writeError is what a Write would fail with at once.
func (c *Conn) writeError() error {
	if err := c.callError(passed(&c.writeDeadline)); err != nil {
		return err
	}
	c.take()
	defer c.release()
	switch {
	case c.t == nil:
		return c.ended.WriteErr
	case c.parked():
		return nil
	}
	return c.t.WriteNothing(time.Now())
}

// A mirror is a pair of local sockets, of which one is shown.
type mirror struct{ ours, theirs int }

func newMirror() (mirror, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return mirror{}, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
		if err := syscall.SetNonblock(fd, true); err != nil {
			mirror{fds[0], fds[1]}.close()
			return mirror{}, os.NewSyscallError("setnonblock", err)
		}
	}
	return mirror{fds[0], fds[1]}, nil
}

func (m mirror) close() {
	if m.ours >= 0 {
		syscall.Close(m.ours)
	}
	syscall.Close(m.theirs)
}

// show has m look like a connection that holds text, and behind it end.
func (m *mirror) show(text []byte, end error) error {
	if len(text) > 0 {
		if _, err := syscall.Write(m.ours, text); err != nil {
			return os.NewSyscallError("write", err)
		}
	}
	switch {
	case end == io.EOF:
		return os.NewSyscallError("shutdown", syscall.Shutdown(m.ours, syscall.SHUT_WR))
	case end != nil: // a peer that closes with something unread resets (unix(7))
		if _, err := syscall.Write(m.theirs, []byte{0}); err != nil {
			return os.NewSyscallError("write", err)
		}
		syscall.Close(m.ours)
		m.ours = -1
	}
	return nil
}

// drain reads all that there is.
func drain(fd int) (all []byte) {
	b := make([]byte, 4096)
	for {
		n, err := syscall.Read(fd, b)
		if n <= 0 && !errors.Is(err, syscall.EINTR) {
			return all
		}
		all = append(all, b[:max(n, 0)]...)
	}
}

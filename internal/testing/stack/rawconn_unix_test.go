//go:build unix

package stack

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// look is how drivers of databases see whether a connection is alive: they read
// a byte, or peek at it.
func look(t *testing.T, c net.Conn, peek bool) (n int, err error) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var is error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		if peek {
			n, _, is = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		} else {
			n, is = unix.Read(int(fd), b[:])
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	return n, is
}

// TestSyscallConn: a quiet, a readable, an ended and a reset connection look as
// they would to the kernel's sockets, and nothing is lost by it.
func TestSyscallConn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		before := descriptors(t)
		want := func(c net.Conn, why string, peek bool, n int, err error) {
			t.Helper()
			synctest.Wait()
			if m, e := look(t, c, peek); max(m, 0) != n || !errors.Is(e, err) {
				t.Errorf("%s (peek %v): %d, %v; want %d, %v", why, peek, m, e, n, err)
			}
		}
		ca, cb := p.connect(t)
		for _, peek := range []bool{false, true} {
			want(ca, "quiet", peek, 0, syscall.EAGAIN)
		}
		text := payload(100_000) // more than the mirror shows
		cb.Write(text)
		want(ca, "readable", true, 1, nil)
		want(ca, "readable", true, 1, nil)
		want(ca, "readable", false, 1, nil)
		cb.CloseWrite()
		want(ca, "readable, and ended behind that", true, 1, nil)
		if got, err := io.ReadAll(ca); !bytes.Equal(got, text[1:]) || err != nil {
			t.Errorf("what was not read: %d bytes, %v; want all but one of %d", len(got), err, len(text))
		}
		for _, peek := range []bool{false, true} {
			want(ca, "ended", peek, 0, nil)
		}
		ca.Close()
		want(ca, "closed", false, 0, net.ErrClosed)
		cb.Close()

		ca, cb = p.connect(t)
		cb.Write([]byte("x"))
		time.Sleep(time.Second)
		cb.SetLinger(0)
		cb.Close()
		time.Sleep(time.Second)
		want(ca, "text before a reset", true, 1, nil)
		want(ca, "text before a reset", false, 1, nil)
		for _, peek := range []bool{false, true} {
			want(ca, "reset", peek, 0, syscall.ECONNRESET)
		}
		ca.Close()
		if n := descriptors(t); n != before {
			t.Errorf("%d descriptors are open, %d before", n, before)
		}
	})
}

// TestRawConn: Read waits until there is something, Write writes, Control has no
// socket; and all of them tell of Close.
func TestRawConn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		raw, err := ca.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		read := func() error {
			return raw.Read(func(fd uintptr) bool {
				b := make([]byte, 100)
				n, err := unix.Read(int(fd), b)
				got = append(got, b[:max(n, 0)]...)
				return err == nil
			})
		}
		wakes(t, read, func() { cb.Write([]byte("hello")) }, nil)
		if string(got) != "hello" {
			t.Errorf("%q was read", got)
		}
		wakes(t, read, expire(ca.SetReadDeadline), os.ErrDeadlineExceeded)
		ca.SetReadDeadline(time.Time{})

		err = raw.Write(func(fd uintptr) bool {
			_, err := unix.Write(int(fd), []byte("answer"))
			return err == nil
		})
		b := make([]byte, 100)
		if n, e := cb.Read(b); string(b[:n]) != "answer" || e != nil || err != nil {
			t.Errorf("%q was written, %v, %v", b[:n], e, err)
		}
		err = raw.Control(func(fd uintptr) {
			if err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != unix.ENOTSOCK {
				t.Errorf("setsockopt: %v", err)
			}
		})
		if err != nil {
			t.Error(err)
		}
		wakes(t, read, func() { ca.Close() }, net.ErrClosed)
		wantError(t, read(), net.ErrClosed, "raw-read", "tcp")
		wantError(t, raw.Write(func(uintptr) bool { t.Error("called"); return true }), net.ErrClosed, "raw-write", "tcp")
		wantError(t, raw.Control(func(uintptr) { t.Error("called") }), net.ErrClosed, "raw-control", "tcp")
		cb.Close()
	})
}

// descriptors is how many the process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

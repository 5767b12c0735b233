package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/tcp"
)

// TestRefused connects to ports where nobody listens, from either side: the
// answer is a reset, at once (RFC 9293 section 3.10.7.1).
func TestRefused(t *testing.T) {
	h := newHost(t, cable{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := h.ns.Dial(ctx, "tcp", ours+":81")
	wantError(t, "the kernel", err, syscall.ECONNREFUSED)
	_, err = h.DialContext(ctx, "tcp", kernel+":81")
	wantError(t, "the stack", err, syscall.ECONNREFUSED)
	if n := h.Stats()["tcp.Timeouts"]; n > 0 {
		t.Errorf("to be refused took %d timeouts", n)
	}
}

// accepted is a pair of sockets with a connection between them, the kernel's
// being the one that dialled.
func accepted(t *testing.T) (theirs *net.TCPConn, own *tcp.Conn) {
	t.Helper()
	h := newHost(t, cable{})
	l, err := h.Listen("tcp", ":7")
	must(t, err)
	defer l.Close()
	theirs = h.dial(t, "tcp", ours+":7").(*net.TCPConn)
	own, err = l.(*tcp.Listener).AcceptTCP()
	must(t, err)
	t.Cleanup(func() { own.Close() })
	must(t, own.SetDeadline(time.Now().Add(20*time.Second)))
	return theirs, own
}

// TestReset has either side throw the connection away.
func TestReset(t *testing.T) {
	netns.Need(t)
	read := func(c net.Conn) error {
		_, err := c.Read(make([]byte, 1))
		return err
	}
	t.Run("the kernel lingers for 0 s", func(t *testing.T) {
		theirs, own := accepted(t)
		must(t, theirs.SetLinger(0))
		must(t, theirs.Close())
		wantError(t, "our Read", read(own), syscall.ECONNRESET)
	})
	t.Run("we linger for 0 s", func(t *testing.T) {
		theirs, own := accepted(t)
		must(t, own.SetLinger(0))
		must(t, own.Close())
		wantError(t, "the kernel's Read", read(theirs), syscall.ECONNRESET)
	})
	t.Run("the kernel closes and has not read all", func(t *testing.T) {
		theirs, own := accepted(t)
		_, err := own.Write([]byte("unread"))
		must(t, err)
		waitFor(t, "the acknowledgement", func() bool { return own.Info().Unacked == 0 })
		must(t, theirs.Close())
		wantError(t, "our Read", read(own), syscall.ECONNRESET)
	})
	t.Run("RFC1122-4.2.2.13 we close and have not read all", func(t *testing.T) {
		theirs, own := accepted(t)
		_, err := theirs.Write([]byte("unread"))
		must(t, err)
		waitFor(t, "the text", func() bool { return own.Info().ReceiveQueue == 6 })
		must(t, own.Close())
		wantError(t, "the kernel's Read", read(theirs), syscall.ECONNRESET)
	})
	t.Run("RFC1122-4.2.2.13 the kernel writes after we have closed", func(t *testing.T) {
		theirs, own := accepted(t)
		must(t, own.Close())
		_, err := io.ReadAll(theirs)
		must(t, err)
		_, err = theirs.Write([]byte("too late")) // is answered by a reset
		must(t, err)
		waitFor(t, "the reset", func() bool {
			_, err = theirs.Write([]byte("again"))
			return err != nil
		})
		wantError(t, "the kernel's Write", err, syscall.EPIPE) // once it has had a FIN; ECONNRESET before
	})
	t.Run("we write after the kernel has closed", func(t *testing.T) {
		theirs, own := accepted(t)
		must(t, theirs.Close())
		if err := read(own); err != io.EOF {
			t.Errorf("our Read: %v, want EOF", err)
		}
		var err error
		waitFor(t, "the reset", func() bool {
			_, err = own.Write([]byte("too late"))
			return err != nil
		})
		wantError(t, "our Write", err, syscall.EPIPE) // as the kernel has it, once it has had a FIN
	})
}

// TestHalfClose ends one direction, and then sends a lot in the other.
func TestHalfClose(t *testing.T) {
	netns.Need(t)
	type halfCloser interface {
		net.Conn
		CloseWrite() error
	}
	test := func(t *testing.T, first, second halfCloser) {
		must(t, first.CloseWrite())
		if got, err := io.ReadAll(second); len(got) > 0 || err != nil {
			t.Errorf("the other side read %q, %v, want EOF", got, err)
		}
		want, err := io.ReadAll(content(3_000_000))
		must(t, err)
		go func() {
			if _, err := second.Write(want); err != nil {
				t.Error(err)
			}
			second.CloseWrite()
		}()
		if got, err := io.ReadAll(first); !bytes.Equal(got, want) || err != nil {
			t.Errorf("%d bytes came, %v, want %d", len(got), err, len(want))
		}
	}
	t.Run("the kernel first", func(t *testing.T) {
		theirs, own := accepted(t)
		test(t, theirs, own)
	})
	t.Run("we first", func(t *testing.T) {
		theirs, own := accepted(t)
		test(t, own, theirs)
	})
}

// TestZeroWindow sends more than the reader takes, so that the window closes,
// and opens again when it reads on (MUST-34 to MUST-36).
func TestZeroWindow(t *testing.T) {
	netns.Need(t)
	const size = 20_000_000
	test := func(t *testing.T, from, to net.Conn) {
		sent := make(chan error, 1)
		go func() {
			_, err := io.Copy(from, content(size))
			from.Close()
			sent <- err
		}()
		time.Sleep(time.Second)
		select {
		case err := <-sent:
			t.Fatalf("all was sent though nothing was read (%v)", err)
		default:
		}
		sum := sha256.New()
		_, err := io.Copy(sum, to)
		must(t, err)
		must(t, <-sent)
		if got := fmt.Sprintf("%x", sum.Sum(nil)); got != contentSum(size) {
			t.Error("other bytes came than were sent")
		}
	}
	t.Run("to the stack", func(t *testing.T) {
		t.Parallel()
		theirs, own := accepted(t)
		test(t, theirs, own)
	})
	t.Run("to the kernel", func(t *testing.T) {
		t.Parallel()
		theirs, own := accepted(t)
		test(t, own, theirs)
	})
}

// waitFor waits until what holds, some seconds at most.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s has not come in a minute", what)
		}
	}
}

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
)

// A leakyWire swallows what the test says.
type leakyWire struct {
	toKernel, toUs atomic.Pointer[func(tcpFlags byte, text int) bool]
}

func (w *leakyWire) middleware(l link.Link) link.Link {
	tx, rx := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
	go w.pass(l.Tx, tx, &w.toKernel)
	go w.pass(rx, l.Rx, &w.toUs)
	l.Tx, l.Rx = tx, rx
	return l
}

func (w *leakyWire) pass(out chan<- *packet.Buffer, in <-chan *packet.Buffer, lost *atomic.Pointer[func(byte, int) bool]) {
	defer close(out)
	for b := range in {
		p := b.Bytes()
		if f := lost.Load(); f != nil && len(p) >= 54 && p[12] == 8 && p[23] == 6 {
			network, tcp := int(p[14]&15)*4, p[14+int(p[14]&15)*4:]
			if (*f)(tcp[13], int(p[16])<<8+int(p[17])-network-int(tcp[12]>>4)*4) {
				b.Release()
				continue
			}
		}
		out <- b
	}
}

// sockets are the kernel's sockets with a connection to us, by the states of
// /proc/net/tcp (proc(5)), but those in TIME-WAIT, which belong to nobody.
func (h *host) sockets(t *testing.T) (states []string) {
	t.Helper()
	for line := range strings.Lines(h.output(t, time.Minute, "cat", "/proc/net/tcp")) {
		f := strings.Fields(line)
		if len(f) > 3 && strings.HasPrefix(f[2], "0200000A:") && f[3] != "06" {
			states = append(states, f[3])
		}
	}
	return states
}

// An end is a connection in a state, with something in flight or not.
type end struct {
	name  string
	wire  bool // with a leaky wire
	build func(t *testing.T, e *ending)
}

// An ending is what an end is made of.
type ending struct {
	*host
	wire   leakyWire
	l      *tcp.Listener
	own    *tcp.Conn
	theirs *net.TCPConn
}

// connect makes the connection, which the kernel dials. Ours is closed before the host
// is: what nobody has read of it still holds its packets.
func (e *ending) connect(t *testing.T) {
	t.Helper()
	e.theirs = e.dial(t, "tcp", ours+":7").(*net.TCPConn)
	var err error
	e.own, err = e.l.AcceptTCP()
	must(t, err)
	t.Cleanup(func() { e.own.Close() })
}

// fill has us write until the window of the kernel, which does not read, is
// closed, and a probe of it outstanding.
func (e *ending) fill(t *testing.T) {
	t.Helper()
	must(t, e.own.SetWriteDeadline(time.Now().Add(time.Second/2)))
	for range 100 {
		if _, err := e.own.Write(make([]byte, 1<<20)); err != nil {
			break
		}
	}
	waitFor(t, "a probe of the window", func() bool {
		i := e.own.Info()
		return i.SendWindow == 0 && i.Unacked > 0
	})
}

// ends are all kinds of connections that are to be ended.
var ends = []end{
	{"ESTABLISHED, quiet", false, func(t *testing.T, e *ending) { e.connect(t) }},
	{"ESTABLISHED, asleep", false, func(t *testing.T, e *ending) {
		e.connect(t)
		must(t, e.own.SetKeepAlive(false))
		waitFor(t, "the connection to be parked", func() bool { return e.Stats()["tcp.Parked"] > 0 })
	}},
	{"ESTABLISHED, not accepted", false, func(t *testing.T, e *ending) {
		e.theirs = e.dial(t, "tcp", ours+":7").(*net.TCPConn)
		waitFor(t, "the connection", func() bool { return e.Stats()["tcp.PassiveOpens"] > 0 })
	}},
	{"ESTABLISHED, bulk to the kernel", false, func(t *testing.T, e *ending) {
		e.connect(t)
		go io.Copy(io.Discard, e.theirs)
		go io.Copy(e.own, content(1<<30))
		waitFor(t, "text", func() bool { return e.own.Info().BytesDelivered > 1_000_000 })
	}},
	{"ESTABLISHED, bulk to us", false, func(t *testing.T, e *ending) {
		e.connect(t)
		go io.Copy(e.theirs, content(1<<30))
		_, err := io.CopyN(io.Discard, e.own, 1_000_000)
		must(t, err)
	}},
	{"ESTABLISHED, our window closed", false, func(t *testing.T, e *ending) {
		e.connect(t)
		go io.Copy(e.theirs, content(1<<30))
		waitFor(t, "a closed window", func() bool { return e.own.Info().ReceiveWindow < 1000 })
	}},
	{"ESTABLISHED, the kernel's window closed", false, func(t *testing.T, e *ending) { e.connect(t); e.fill(t) }},
	{"ESTABLISHED, all text lost", true, func(t *testing.T, e *ending) {
		e.connect(t)
		lost := func(_ byte, text int) bool { return text > 0 }
		e.wire.toKernel.Store(&lost)
		_, err := e.own.Write(make([]byte, 5000))
		must(t, err)
	}},
	{"ESTABLISHED, all text lost but the last", true, func(t *testing.T, e *ending) {
		e.connect(t)
		lost := func(_ byte, text int) bool { return text > 1 }
		e.wire.toKernel.Store(&lost)
		_, err := e.own.Write(make([]byte, 5000))
		must(t, err)
		waitFor(t, "sending", func() bool { return e.own.Info().Unacked >= 5000 })
		_, err = e.own.Write([]byte{1})
		must(t, err)
		time.Sleep(50 * time.Millisecond)
	}},
	{"ESTABLISHED, acknowledgements lost", true, func(t *testing.T, e *ending) {
		e.connect(t)
		lost := func(byte, int) bool { return true }
		e.wire.toUs.Store(&lost)
		_, err := e.own.Write(make([]byte, 5000))
		must(t, err)
		time.Sleep(50 * time.Millisecond)
	}},
	{"ESTABLISHED, some text lost, and some acknowledgements", true, func(t *testing.T, e *ending) {
		e.connect(t)
		lost, textLost := func(byte, int) bool { return true }, func(_ byte, text int) bool { return text > 0 }
		e.wire.toUs.Store(&lost)
		_, err := e.own.Write(make([]byte, 5000)) // of which we do not hear that it has come
		must(t, err)
		waitFor(t, "sending", func() bool { return e.own.Info().Unacked >= 5000 })
		time.Sleep(50 * time.Millisecond)
		e.wire.toKernel.Store(&textLost)
		_, err = e.own.Write(make([]byte, 5000))
		must(t, err)
		waitFor(t, "sending", func() bool { return e.own.Info().Unacked >= 10000 })
		e.wire.toUs.Store(nil)
	}},
	{"FIN-WAIT-1, the kernel's window closed", false, func(t *testing.T, e *ending) {
		e.connect(t)
		e.fill(t)
		must(t, e.own.CloseWrite())
	}},
	{"FIN-WAIT-2", false, func(t *testing.T, e *ending) {
		e.connect(t)
		must(t, e.own.CloseWrite())
		waitFor(t, "the state", func() bool { return e.own.Info().State == tcp.FinWait2 })
	}},
	{"CLOSE-WAIT", false, func(t *testing.T, e *ending) {
		e.connect(t)
		must(t, e.theirs.CloseWrite())
		waitFor(t, "the state", func() bool { return e.own.Info().State == tcp.CloseWait })
	}},
	{"CLOSE-WAIT, the kernel's window closed", false, func(t *testing.T, e *ending) {
		e.connect(t)
		must(t, e.theirs.CloseWrite())
		waitFor(t, "the state", func() bool { return e.own.Info().State == tcp.CloseWait })
		e.fill(t)
	}},
	{"LAST-ACK, the kernel's window closed", false, func(t *testing.T, e *ending) {
		e.connect(t)
		must(t, e.theirs.CloseWrite())
		waitFor(t, "the state", func() bool { return e.own.Info().State == tcp.CloseWait })
		e.fill(t)
		must(t, e.own.CloseWrite())
	}},
	{"CLOSING, our FIN lost", true, func(t *testing.T, e *ending) {
		e.connect(t)
		lost := func(f byte, _ int) bool { return f&1 != 0 }
		e.wire.toKernel.Store(&lost)
		must(t, e.own.CloseWrite())
		must(t, e.theirs.CloseWrite())
		waitFor(t, "the state", func() bool { return e.own.Info().State == tcp.Closing })
	}},
}

// TestEnds: when our end of a connection is gone, the kernel's is gone, too, in
// whatever state that was and whatever was in flight (RFC 9293 section 3.10.5).
func TestEnds(t *testing.T) {
	netns.Need(t)
	for _, way := range []struct {
		name string
		stop func(t *testing.T, e *ending)
	}{
		{"linger 0", func(t *testing.T, e *ending) {
			if e.own == nil {
				must(t, e.l.Close())
				return
			}
			must(t, e.own.SetLinger(0))
			must(t, e.own.Close())
		}},
		{"Stack.Close", func(_ *testing.T, e *ending) { e.Stack.Close() }},
		{"user timeout", func(t *testing.T, e *ending) { must(t, e.own.SetUserTimeout(time.Millisecond)) }},
	} {
		for _, c := range ends {
			if way.name == "user timeout" && !strings.Contains(c.name, "kernel's window closed") && !strings.Contains(c.name, "lost") {
				continue // nothing waits that could time out
			}
			t.Run(way.name+", "+c.name, func(t *testing.T) {
				t.Parallel()
				e := newEnding(t, c.wire)
				c.build(t, e)
				if len(e.sockets(t)) != 1 {
					t.Fatalf("the kernel has sockets %v before", e.sockets(t))
				}
				way.stop(t, e)
				e.wantGone(t)
			})
		}
	}
}

func newEnding(t *testing.T, wire bool) *ending {
	e := new(ending)
	cable := cable{limit: 128}
	if wire {
		cable.router = e.wire.middleware
	}
	cable.tcp.ParkAfter = 200 * time.Millisecond
	e.host = newHost(t, cable)
	l, err := e.Listen("tcp", ":7")
	must(t, err)
	e.l = l.(*tcp.Listener)
	return e
}

// wantGone fails unless the kernel soon has no socket any more.
func (e *ending) wantGone(t *testing.T) {
	t.Helper()
	var states []string
	for range 1000 {
		if states = e.sockets(t); len(states) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("the kernel still has a socket in state %v", states)
}

// TestEndsWhileOpening: a stack that ends leaves no socket of the kernel's behind
// which is about to be connected, or believes that it is.
func TestEndsWhileOpening(t *testing.T) {
	netns.Need(t)
	t.Run("SYN-SENT, the SYN,ACK lost", func(t *testing.T) {
		e := newEnding(t, true)
		lost := func(f byte, _ int) bool { return f&2 != 0 }
		e.wire.toUs.Store(&lost)
		l, err := e.ns.Listen("tcp", kernel+":8")
		must(t, err)
		defer l.Close()
		go e.DialContext(context.Background(), "tcp", kernel+":8")
		waitFor(t, "the kernel", func() bool { return len(e.sockets(t)) == 1 })
		e.Stack.Close()
		e.wantGone(t)
	})
	t.Run("SYN-RECEIVED, the ACK lost", func(t *testing.T) {
		e := newEnding(t, true)
		lost := func(f byte, _ int) bool { return f&2 == 0 }
		e.wire.toUs.Store(&lost)
		e.theirs = e.dial(t, "tcp", ours+":7").(*net.TCPConn)
		if s := fmt.Sprint(e.sockets(t)); s != "[01]" {
			t.Fatalf("the kernel's socket is in state %s", s)
		}
		e.Stack.Close()
		e.wantGone(t)
	})
}

// TestBothDirectionsDone: RFC1122-4.2.2.13: what comes when the program has done
// with both directions of a connection gets what the kernel gives, of which two
// ends are compared: ours, and one of its own.
func TestBothDirectionsDone(t *testing.T) {
	netns.Need(t)
	for _, c := range []struct {
		name string
		done func(c halfCloser) error
	}{
		{"CloseRead, CloseWrite", func(c halfCloser) error { c.CloseRead(); return c.CloseWrite() }},
		{"CloseWrite, CloseRead", func(c halfCloser) error { c.CloseWrite(); return c.CloseRead() }},
		{"Close", func(c halfCloser) error { return c.Close() }},
		{"CloseRead, Close", func(c halfCloser) error { c.CloseRead(); return c.Close() }},
		{"CloseRead alone", func(c halfCloser) error { return c.CloseRead() }},
		{"CloseWrite alone", func(c halfCloser) error { return c.CloseWrite() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := newEnding(t, false)
			e.connect(t)
			ours := afterDone(t, e.own, e.theirs, c.done)

			l, err := e.ns.Listen("tcp", kernel+":7")
			must(t, err)
			defer l.Close()
			peer := e.dial(t, "tcp", kernel+":7").(*net.TCPConn)
			own, err := l.Accept()
			must(t, err)
			defer own.Close()
			kernels := afterDone(t, own.(*net.TCPConn), peer, c.done)
			if ours != kernels {
				t.Errorf("to us %v, to the kernel %v", ours, kernels)
			}
		})
	}
}

// A halfCloser is a TCP connection, of the kernel's or ours.
type halfCloser interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
}

// afterDone is what peer hears when it writes to an end that has done.
func afterDone(t *testing.T, own halfCloser, peer net.Conn, done func(halfCloser) error) string {
	t.Helper()
	must(t, done(own))
	time.Sleep(50 * time.Millisecond)
	_, err := peer.Write(bytes.Repeat([]byte("late"), 100))
	must(t, err)
	time.Sleep(100 * time.Millisecond)
	_, err = peer.Write([]byte("again"))
	switch {
	case err == nil:
		return "no reset"
	case strings.Contains(err.Error(), syscall.EPIPE.Error()), strings.Contains(err.Error(), syscall.ECONNRESET.Error()):
		return "a reset"
	}
	return err.Error()
}

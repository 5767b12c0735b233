package stack

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/udp"
)

// wantError checks that err is a *net.OpError of the operation around want, as
// package net makes them.
func wantError(t *testing.T, err, want error, op, network string) {
	t.Helper()
	var e *net.OpError
	if !errors.Is(err, want) || !errors.As(err, &e) {
		t.Errorf("error %v (%T), want a *net.OpError around %v", err, err, want)
		return
	}
	if e.Op != op || e.Net != network {
		t.Errorf("error of %s %s, want %s %s: %v", e.Op, e.Net, op, network, err)
	}
	if timeout := want == os.ErrDeadlineExceeded || want == syscall.ETIMEDOUT; e.Timeout() != timeout {
		t.Errorf("Timeout() is %v: %v", e.Timeout(), err)
	}
}

// newStaticPair is newPair where a does not ask for b by ARP, nor for 10.0.0.9,
// which is nowhere.
func newStaticPair(t *testing.T, middleware ...link.Middleware) pair {
	t.Helper()
	return newStaticPairOf(t, gonet.Config{}, middleware...)
}

// newStaticPairOf is newStaticPair with a Config for both stacks, of which the links and
// addresses are filled in.
func newStaticPairOf(t *testing.T, cfg gonet.Config, middleware ...link.Middleware) pair {
	t.Helper()
	la, lb := link.Pipe(link.PipeConfig{})
	neighbours := map[netip.Addr]ethernet.Addr{
		netip.MustParseAddr("10.0.0.2"): lb.MAC,
		netip.MustParseAddr("10.0.0.9"): {2, 0, 0, 0, 0, 9},
	}
	for _, m := range middleware {
		la = m(la)
	}
	cfg.Interfaces = []gonet.Interface{{
		Link: la, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}, Static: neighbours,
	}}
	a, err := gonet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Interfaces, cfg.Link, cfg.Addr, cfg.Rand = nil, lb, netip.MustParsePrefix("10.0.0.2/24"), repeat(2)
	b, err := gonet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return pair{a, b}
}

func TestErrorsOfDial(t *testing.T) {
	for _, c := range []struct {
		name, network, to string
		want              error
		after             time.Duration
	}{
		{"refused", "tcp", "10.0.0.2:1", syscall.ECONNREFUSED, 0},
		{"nobody there", "tcp", "10.0.0.3:1", syscall.EHOSTUNREACH, 5 * time.Second},
		{"no route", "tcp", "192.0.2.1:1", syscall.ENETUNREACH, 0},
		{"no route", "udp", "192.0.2.1:1", syscall.ENETUNREACH, 0},
		{"broadcast", "tcp", "10.0.0.255:1", syscall.ENETUNREACH, 0},
		{"multicast", "tcp", "224.0.0.1:1", syscall.ENETUNREACH, 0},
		{"port 0", "tcp", "10.0.0.2:0", syscall.ECONNREFUSED, 0},
		{"silence", "tcp", "10.0.0.9:1", syscall.ETIMEDOUT, 5 * time.Minute},
	} {
		t.Run(c.name+" "+c.network, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newStaticPair(t)
				defer p.close()
				start := time.Now()
				_, err := p.a.Dial(c.network, c.to)
				wantError(t, err, c.want, "dial", c.network)
				if !strings.Contains(err.Error(), c.to) {
					t.Errorf("the error does not name %s: %v", c.to, err)
				}
				if d := time.Since(start); d > c.after {
					t.Errorf("after %v, want %v at most", d, c.after)
				}
			})
		})
	}
}

func TestErrorsOfListen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		l := listen(t, p.a, "10.0.0.1:80")
		u := listenUDP(t, p.a, ":53")
		_, err := p.a.Listen("tcp", "10.0.0.1:80")
		wantError(t, err, syscall.EADDRINUSE, "listen", "tcp")
		_, err = p.a.Listen("tcp", "10.0.0.2:80")
		wantError(t, err, syscall.EADDRNOTAVAIL, "listen", "tcp")
		_, err = p.a.ListenPacket("udp", "10.0.0.1:53")
		wantError(t, err, syscall.EADDRINUSE, "listen", "udp")
		_, err = p.a.ListenPacket("udp", "10.0.0.2:54")
		wantError(t, err, syscall.EADDRNOTAVAIL, "listen", "udp")

		l.Close()
		wantError(t, l.Close(), net.ErrClosed, "close", "tcp")
		wantError(t, l.SetDeadline(time.Time{}), net.ErrClosed, "set", "tcp")
		_, err = l.Accept()
		wantError(t, err, net.ErrClosed, "accept", "tcp")
		u.Close()
		wantError(t, u.Close(), net.ErrClosed, "close", "udp")
		listen(t, p.a, "10.0.0.1:80").Close() // the ports are free again
		listenUDP(t, p.a, "10.0.0.1:53").Close()

		p.a.Close()
		_, err = p.a.Listen("tcp", ":80")
		wantError(t, err, net.ErrClosed, "listen", "tcp")
		_, err = p.a.ListenPacket("udp", ":53")
		wantError(t, err, net.ErrClosed, "listen", "udp")
		_, err = p.a.Ping(t.Context(), netip.MustParseAddr("10.0.0.2"))
		wantError(t, err, net.ErrClosed, "ping", "ip4:icmp")
	})
}

func TestErrorsOfConn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ca, cb := p.connect(t)
		buf := make([]byte, 10)

		ca.SetDeadline(time.Now())
		_, err := ca.Read(buf)
		wantError(t, err, os.ErrDeadlineExceeded, "read", "tcp")
		_, err = ca.Write(buf)
		wantError(t, err, os.ErrDeadlineExceeded, "write", "tcp")
		ca.SetDeadline(time.Time{})
		var e *net.OpError
		if errors.As(err, &e); e.Source.String() != ca.LocalAddr().String() || e.Addr.String() != ca.RemoteAddr().String() || !e.Temporary() {
			t.Errorf("%#v is not as package net has it", e)
		}

		ca.CloseWrite()
		_, err = ca.Write(buf)
		wantError(t, err, syscall.EPIPE, "write", "tcp")

		cb.SetLinger(0)
		cb.Close()
		_, err = ca.Read(buf)
		wantError(t, err, syscall.ECONNRESET, "read", "tcp")
		ca.Close()
		_, err = ca.Read(buf)
		wantError(t, err, net.ErrClosed, "read", "tcp")
		_, err = ca.Write(buf)
		wantError(t, err, net.ErrClosed, "write", "tcp")
		wantError(t, ca.Close(), net.ErrClosed, "close", "tcp")
		wantError(t, ca.CloseWrite(), net.ErrClosed, "close", "tcp")
		wantError(t, ca.SetNoDelay(true), net.ErrClosed, "set", "tcp")
		wantError(t, ca.SetDeadline(time.Time{}), net.ErrClosed, "set", "tcp")
	})
}

// A reset wakes a write that waits, and later writes fail too.
func TestResetWakesWrite(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		writer, reader := p.full(t)
		reader.SetLinger(0)
		wakes(t, func() error { _, err := writer.Write(make([]byte, 10_000_000)); return err },
			func() { reader.Close() }, syscall.ECONNRESET)
		if _, err := writer.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a later write: %v", err)
		}
		writer.Close()
	})
}

func TestTimedOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var wire cable
		p := newStaticPair(t, wire.plug) // or ARP would find out first: EHOSTUNREACH
		defer p.close()
		ca, cb := p.connect(t)
		wire.cut.Store(true)
		start := time.Now()
		ca.Write([]byte("into the void"))
		_, err := ca.Read(make([]byte, 1))
		wantError(t, err, syscall.ETIMEDOUT, "read", "tcp")
		if d := time.Since(start); d < 4*time.Minute || d > 7*time.Minute {
			t.Errorf("after %v, want 5 minutes", d)
		}
		_, err = ca.Write([]byte("x"))
		wantError(t, err, syscall.ETIMEDOUT, "write", "tcp")
		ca.Close()

		cb.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 10 * time.Second, Count: 3})
		_, err = cb.Read(make([]byte, 1))
		wantError(t, err, syscall.ETIMEDOUT, "read", "tcp")
		cb.Close()
	})
}

func TestErrorsOfUDP(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		buf := make([]byte, 10)
		c := dialUDP(t, p.a, "10.0.0.2:53")
		c.Write(buf)
		_, err := c.Read(buf)
		wantError(t, err, syscall.ECONNREFUSED, "read", "udp")

		c.SetDeadline(time.Now())
		_, err = c.Read(buf)
		wantError(t, err, os.ErrDeadlineExceeded, "read", "udp")
		_, err = c.Write(buf)
		wantError(t, err, os.ErrDeadlineExceeded, "write", "udp")
		c.SetDeadline(time.Time{})
		_, err = c.WriteTo(buf, c.RemoteAddr())
		wantError(t, err, net.ErrWriteToConnected, "write", "udp")
		_, err = c.Write(make([]byte, udp.MaxSize+1))
		wantError(t, err, syscall.EMSGSIZE, "write", "udp")
		wakes(t, func() error { _, err := c.Read(buf); return err }, expire(c.SetReadDeadline), os.ErrDeadlineExceeded)
		c.SetDeadline(time.Time{})
		wakes(t, func() error { _, err := c.Read(buf); return err }, func() { c.Close() }, net.ErrClosed)

		u := listenUDP(t, p.a, ":0")
		_, err = u.Write(buf)
		wantError(t, err, syscall.EDESTADDRREQ, "write", "udp")
		_, err = u.WriteTo(buf, &net.TCPAddr{})
		wantError(t, err, syscall.EINVAL, "write", "udp")
		_, err = u.WriteTo(buf, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1})
		wantError(t, err, syscall.ENETUNREACH, "write", "udp")
		wakes(t, func() error { _, _, err := u.ReadFrom(buf); return err }, func() { p.a.Close() }, net.ErrClosed)
	})
}

// A listener that is closed while a handshake is under way resets it, rather
// than leave the peer with a connection that nobody has.
func TestListenerClosesDuringHandshake(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t, slowWire.Middleware())
		defer p.close()
		l := listen(t, p.b, ":7")
		c := dial(t, p.a, "10.0.0.2:7")
		defer c.Close()
		l.Close() // before the ACK has arrived
		start := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) || time.Since(start) > 100*time.Millisecond {
			t.Errorf("Read: %v after %v", err, time.Since(start))
		}
	})
}

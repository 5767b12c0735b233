package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
)

// TestKeepAlive: connections that are dialled and accepted find out that their
// peer has vanished, unless somebody says otherwise.
func TestKeepAlive(t *testing.T) {
	const never = 0
	for _, c := range []struct {
		name              string
		config            func(*gonet.Config)
		dialer            gonet.Dialer
		listener          gonet.ListenConfig
		dialled, accepted time.Duration // when they end; never: not within hours
	}{
		{name: "as package net", dialled: 150 * time.Second, accepted: 150 * time.Second},
		{name: "off in Config", config: func(c *gonet.Config) { c.KeepAlive = -1 }},
		{name: "a time in Config", config: func(c *gonet.Config) { c.KeepAlive = time.Minute }, dialled: 195 * time.Second, accepted: 195 * time.Second},
		{name: "all in Config",
			config: func(c *gonet.Config) {
				c.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: time.Second, Count: 3}
			},
			dialled: 63 * time.Second, accepted: 63 * time.Second},
		{name: "off for one", dialer: gonet.Dialer{KeepAlive: -1}, dialled: never, accepted: 150 * time.Second},
		{name: "off for one listener", listener: gonet.ListenConfig{KeepAlive: -1}, dialled: 150 * time.Second, accepted: never},
		{name: "on for one", config: func(c *gonet.Config) { c.KeepAlive = -1 }, dialer: gonet.Dialer{KeepAlive: 30 * time.Second}, dialled: 165 * time.Second},
		{name: "all for one listener", listener: gonet.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: -1, Count: 1}},
			dialled: 150 * time.Second, accepted: 76 * time.Second}, // the interval is that of the machine: 75 s
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var wire cable
				var cfg gonet.Config
				if c.config != nil {
					c.config(&cfg)
				}
				p := newStaticPairOf(t, cfg, wire.plug)
				defer p.close()
				c.dialer.Stack, c.listener.Stack = p.a, p.b
				l, err := c.listener.Listen(t.Context(), "tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				ca, err := c.dialer.Dial("tcp", "10.0.0.2:80")
				if err != nil {
					t.Fatal(err)
				}
				cb, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour) // it holds as long as there are answers
				defer cb.Close()
				defer ca.Close()
				for _, one := range []net.Conn{ca, cb} {
					one.SetReadDeadline(time.Now().Add(time.Second))
					if _, err := one.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("after an hour: %v", err)
					}
					one.SetReadDeadline(time.Now().Add(3 * time.Hour))
				}
				ca.Write([]byte("x")) // from here on they count
				time.Sleep(100 * time.Millisecond)
				cb.Read(make([]byte, 1))
				cb.Write([]byte("y"))
				ca.Read(make([]byte, 1))
				time.Sleep(100 * time.Millisecond) // all is acknowledged
				wire.cut.Store(true)
				start := time.Now()
				for _, end := range []struct {
					name string
					conn net.Conn
					want time.Duration
				}{{"dialled", ca, c.dialled}, {"accepted", cb, c.accepted}} {
					_, err := end.conn.Read(make([]byte, 1))
					took := time.Since(start).Round(time.Second)
					if end.want == never {
						if !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Errorf("%s: %v after %v", end.name, err, took)
						}
					} else if !errors.Is(err, syscall.ETIMEDOUT) || c.dialled != never && took != max(c.dialled, end.want) && took != end.want {
						t.Errorf("%s: %v after %v, want %v", end.name, err, took, end.want)
					}
				}
			})
		})
	}
}

func TestDialer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newStaticPair(t)
		defer p.close()
		lc := gonet.ListenConfig{Stack: p.b, Options: tcp.ConnOptions{TTL: 9, TOS: 0x20, CongestionControl: "reno", ReadBuffer: 12345}}
		l, err := lc.Listen(t.Context(), "tcp4", "10.0.0.2:http")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		u := listenUDP(t, p.b, ":53")
		defer u.Close()

		d := gonet.Dialer{
			Stack: p.a, LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1234},
			Options: tcp.ConnOptions{CongestionControl: "reno", LossRecovery: "newreno", WriteBuffer: 54321},
		}
		c, err := d.DialContext(t.Context(), "tcp4", "10.0.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.LocalAddr().String(); got != "10.0.0.1:1234" {
			t.Errorf("it begins at %s", got)
		}
		if i := c.(*tcp.Conn).Info(); i.CongestionControl != "reno" || i.LossRecovery != "newreno" || i.SendBuffer != 54321 {
			t.Errorf("its options are %s, %s, %d bytes", i.CongestionControl, i.LossRecovery, i.SendBuffer)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if i := b.(*tcp.Conn).Info(); i.CongestionControl != "reno" || i.ReceiveBuffer < 12345 {
			t.Errorf("those of the listener are %s, %d bytes", i.CongestionControl, i.ReceiveBuffer)
		}
		_, err = d.Dial("tcp", "10.0.0.2:80")
		var e *net.OpError
		if !errors.Is(err, syscall.EADDRINUSE) || !errors.As(err, &e) || e.Source.String() != "10.0.0.1:1234" {
			t.Errorf("the same flow again: %v", err)
		}
		c.Close()
		b.Close()

		d = gonet.Dialer{Stack: p.a, LocalAddr: &net.UDPAddr{Port: 1234}}
		c, err = d.Dial("udp", "10.0.0.2:53")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.LocalAddr().String(); got != "10.0.0.1:1234" {
			t.Errorf("the UDP socket begins at %s", got)
		}
		c.Close()
		for _, bad := range []struct {
			gonet.Dialer
			address, want string
		}{
			{gonet.Dialer{LocalAddr: &net.UDPAddr{}}, "10.0.0.2:80", "dial tcp: address :0: mismatched local address type"},
			{gonet.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv6loopback}}, "10.0.0.2:80", "dial tcp: address [::1]:0: no suitable address found"},
			{gonet.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}}, "10.0.0.2:80", "dial tcp 10.0.0.7:0->10.0.0.2:80: connect: cannot assign requested address"},
			{gonet.Dialer{Options: tcp.ConnOptions{CongestionControl: "nosuch"}}, "10.0.0.2:80", `dial tcp 10.0.0.2:80: tcp: no congestion control has the name "nosuch"`},
			{gonet.Dialer{Timeout: -1}, "10.0.0.2:80", "dial tcp 10.0.0.2:80: i/o timeout"},
			{gonet.Dialer{Timeout: time.Second}, "10.0.0.9:80", "dial tcp 10.0.0.9:80: i/o timeout"},
			{gonet.Dialer{Deadline: time.Now().Add(time.Second), Timeout: time.Hour}, "10.0.0.9:80", "dial tcp 10.0.0.9:80: i/o timeout"},
		} {
			bad.Stack = p.a
			start := time.Now()
			if _, err := bad.Dial("tcp", bad.address); err == nil || err.Error() != bad.want || time.Since(start) > time.Second {
				t.Errorf("%v after %v, want %s", err, time.Since(start), bad.want)
			}
		}
	})
}

// TestDialerResolver: a resolver of the program's is asked in the place of the
// stack, and its error is that of the dial.
func TestDialerResolver(t *testing.T) {
	inRealTime(t, func(t *testing.T) { // package net keeps a channel of its first resolver for all
		p := newPair(t)
		defer p.close()
		refused := errors.New("no way to a server")
		asked := 0
		d := gonet.Dialer{Stack: p.a, Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			asked++
			return nil, refused
		}}}
		_, err := d.DialContext(t.Context(), "tcp", "host.example.:80")
		var e *net.DNSError
		if !errors.As(err, &e) || e.Name != "host.example." || asked == 0 {
			t.Errorf("%v, asked %d times", err, asked)
		}
		for _, network := range []string{"tcp", "udp"} {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := d.DialContext(ctx, network, "10.0.0.2:80"); !errors.Is(err, context.Canceled) {
				t.Errorf("%s with a context that is cancelled: %v", network, err)
			}
		}
	})
}

// TestListenShare: several listeners at one address have the connections in
// turn, or by hash; and one that goes leaves nobody behind.
func TestListenShare(t *testing.T) {
	for name, share := range map[string]tcp.Share{"by turn": tcp.ShareByTurn, "by hash": tcp.ShareByHash} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPair(t)
				defer p.close()
				lc := gonet.ListenConfig{Stack: p.b, Share: share}
				var all []net.Listener
				for range 3 {
					l, err := lc.Listen(t.Context(), "tcp", ":80")
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, l)
				}
				alone := gonet.ListenConfig{Stack: p.b}
				other := gonet.ListenConfig{Stack: p.b, Share: 3 - share}
				for _, c := range []gonet.ListenConfig{alone, other} {
					if _, err := c.Listen(t.Context(), "tcp", ":80"); !errors.Is(err, syscall.EADDRINUSE) {
						t.Errorf("a listener that does not share alike: %v", err)
					}
				}
				const dials = 60
				waiting := func(l net.Listener) (n int) {
					l.(*tcp.Listener).SetDeadline(time.Now().Add(time.Millisecond))
					for {
						c, err := l.Accept()
						if err != nil {
							return n
						}
						n++
						c.Close()
					}
				}
				for range dials {
					dial(t, p.a, "10.0.0.2:80").Close()
				}
				for i, l := range all {
					n := waiting(l)
					if share == tcp.ShareByTurn && n != dials/3 || n < dials/10 {
						t.Errorf("the listener %d has %d of %d", i, n, dials)
					}
				}

				// A server is replaced: what waits in its listener goes to the others.
				for range dials {
					defer dial(t, p.a, "10.0.0.2:80").Close()
				}
				all[0].Close()
				if n := waiting(all[1]) + waiting(all[2]); n != dials {
					t.Errorf("%d of %d connections are there after one listener has closed", n, dials)
				}
				all[1].Close()
				all[2].Close()
				_, err := p.a.Dial("tcp", "10.0.0.2:80")
				if !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("when all are closed: %v", err)
				}
				l := listen(t, p.b, ":80")
				defer l.Close()
			})
		})
	}
}

// TestShareFull: a listener whose queue is full is passed over.
func TestShareFull(t *testing.T) {
	for name, share := range map[string]tcp.Share{"by turn": tcp.ShareByTurn, "by hash": tcp.ShareByHash} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				la, lb := link.Pipe(link.PipeConfig{})
				b, err := gonet.New(gonet.Config{Link: lb, Addr: netip.MustParsePrefix("10.0.0.2/24"), TCP: tcp.Config{Backlog: 10}})
				if err != nil {
					t.Fatal(err)
				}
				p := pair{newHost(t, la, "10.0.0.1/24", 1), b}
				defer p.close()
				lc := gonet.ListenConfig{Stack: b, Share: share}
				for range 2 {
					l, err := lc.Listen(t.Context(), "tcp", ":80")
					if err != nil {
						t.Fatal(err)
					}
					defer l.Close()
				}
				for i := range 20 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					c, err := p.a.DialContext(ctx, "tcp", "10.0.0.2:80")
					cancel()
					if err != nil {
						t.Fatalf("connection %d: %v", i, err)
					}
					defer c.Close()
				}
			})
		})
	}
}

// TestSelfConnect: who asks for a connection from a port to itself gets that of
// RFC 9293 figure 7; tcp.TestChoosePort shows that nobody else does.
func TestSelfConnect(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		d := gonet.Dialer{Stack: p.a, LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 50000}}
		c, err := d.Dial("tcp", "10.0.0.1:50000")
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("me"))
		b := make([]byte, 3)
		if n, err := c.Read(b); string(b[:n]) != "me" || err != nil {
			t.Errorf("%q, %v", b[:n], err)
		}
		c.Close()
	})
}

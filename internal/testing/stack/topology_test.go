package stack

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/udp"
)

// A network is two hosts with two routers between them:
//
//	a 10.0.0.1 ── 10.0.0.254 left 10.9.0.1 ── 10.9.0.2 right 10.1.0.254 ── 10.1.0.1 b
type network struct {
	pair
	left, right *gonet.Stack
}

// newNetwork makes a network in whose middle is a link with another MTU.
func newNetwork(t *testing.T, mtu int, forward bool) network {
	t.Helper()
	la, ra := link.Pipe(link.PipeConfig{})
	lm, rm := link.Pipe(link.PipeConfig{MTU: mtu})
	lb, rb := link.Pipe(link.PipeConfig{})
	start := func(gateway string, links ...gonet.Interface) *gonet.Stack {
		s, err := gonet.New(gonet.Config{Interfaces: links, Gateway: netip.MustParseAddr(gateway), Forward: forward})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	card := func(l link.Link, addr string) gonet.Interface {
		return gonet.Interface{Link: l, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}}
	}
	return network{
		pair:  pair{start("10.0.0.254", card(la, "10.0.0.1/24")), start("10.1.0.254", card(rb, "10.1.0.1/24"))},
		left:  start("10.9.0.2", card(ra, "10.0.0.254/24"), card(lm, "10.9.0.1/24")),
		right: start("10.9.0.1", card(rm, "10.9.0.2/24"), card(lb, "10.1.0.254/24")),
	}
}

func TestRouter(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newNetwork(t, 576, true)
		b := netip.MustParseAddr("10.1.0.1")
		for _, to := range []string{"10.1.0.1", "10.0.0.254", "10.9.0.1", "10.9.0.2", "10.1.0.254"} {
			if _, err := n.a.Ping(t.Context(), netip.MustParseAddr(to)); err != nil {
				t.Errorf("ping %s: %v", to, err)
			}
		}
		ping := func(opts icmp.PingOptions) (icmp.PingReply, error) { return n.a.PingWith(t.Context(), b, opts) }
		for i, router := range []string{"10.0.0.254", "10.9.0.2"} { // as traceroute does
			var report *icmp.Error
			_, err := ping(icmp.PingOptions{TTL: uint8(i + 1)})
			if !errors.As(err, &report) || report.Type != ip.TypeTimeExceeded || report.From.String() != router {
				t.Errorf("ping with TTL %d: %v, want time exceeded from %s", i+1, err, router)
			}
		}
		if r, err := ping(icmp.PingOptions{TTL: 3}); err != nil || r.From != b || r.TTL != ipv4.DefaultTTL-2 {
			t.Errorf("ping with TTL 3: %+v, %v", r, err)
		}
		if r, err := ping(icmp.PingOptions{Size: 20_000}); err != nil || r.Size != 20_000 {
			t.Errorf("ping with 20,000 bytes: %+v, %v", r, err)
		}
		if _, err := ping(icmp.PingOptions{Size: 1000, DF: true}); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("ping that must not be fragmented: %v", err)
		}
		if _, err := n.a.Ping(t.Context(), netip.MustParseAddr("10.1.0.7")); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("ping of nobody behind the routers: %v", err)
		}
	})
}

// TCP finds the MTU of the path (RFC 1191), and UDP is fragmented on it.
func TestRouterMTU(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const mtu = 900
		n := newNetwork(t, mtu, true)
		ca, cb := connect(t, n.a, n.b, "10.1.0.1:0")
		want := payload(500_000)
		for _, way := range []struct{ from, to *tcp.Conn }{{ca, cb}, {cb, ca}} {
			if before := way.from.Info().PathMTU; before != 1500 {
				t.Errorf("path MTU is %d before anything was sent, want 1500", before)
			}
			way.from.Write(want)
			got := make([]byte, len(want))
			if m, err := io.ReadFull(way.to, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes arrived, %v", m, err)
			}
			if after := way.from.Info().PathMTU; after != mtu {
				t.Errorf("path MTU is %d, want %d", after, mtu)
			}
		}
		ca.Close()
		cb.Close()

		u := listenUDP(t, n.b, ":53")
		d := dialUDP(t, n.a, "10.1.0.1:53")
		d.Write(want[:10_000])
		got := make([]byte, 20_000)
		m, from, err := u.ReadFrom(got)
		if err != nil || !bytes.Equal(got[:m], want[:10_000]) || from.String() != d.LocalAddr().String() {
			t.Errorf("%d bytes from %v, %v", m, from, err)
		}
		if n.left.Stats()["ipv4.TxFragments"] == 0 {
			t.Error("nothing was fragmented on the way")
		}
	})
}

// A host does not forward (RFC 1122 section 3.1).
func TestNoForwarding(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newNetwork(t, 0, false)
		u := listenUDP(t, n.b, ":53")
		dialUDP(t, n.a, "10.1.0.1:53").Write([]byte("x"))
		u.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := u.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("read: %v", err)
		}
	})
}

func TestLoopback(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "127.1.2.3", "10.0.0.1"} {
		t.Run(addr, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPair(t)
				defer p.close()
				testEchoTo(t, p.a, p.a, addr)
				u := listenUDP(t, p.a, addr+":53")
				c := dialUDP(t, p.a, addr+":53")
				want := payload(20_000) // more than any link takes
				c.Write(want)
				got := make([]byte, 30_000)
				n, from, err := u.ReadFrom(got)
				if err != nil || !bytes.Equal(got[:n], want) {
					t.Errorf("%d bytes, %v", n, err)
				}
				u.WriteTo(got[:10], from)
				if n, err := c.Read(got); n != 10 || err != nil {
					t.Errorf("answer of %d bytes, %v", n, err)
				}
				if n := p.a.Stats()["ipv4.TxPackets"]; n != 0 {
					t.Errorf("%d datagrams have left the host", n)
				}
				if _, err := p.a.Dial("tcp", addr+":1"); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("a closed port: %v", err)
				}
			})
		})
	}
}

func testEchoTo(t *testing.T, from, to *gonet.Stack, addr string) {
	t.Helper()
	c, accepted := connect(t, from, to, addr+":0")
	go func() {
		io.Copy(accepted, accepted)
		accepted.Close()
	}()
	want := payload(1_000_000)
	go func() {
		c.Write(want)
		c.CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	c.Close()
}

// A connection to the very address and port that it comes from is a
// simultaneous open with itself (RFC 9293 section 3.5).
func TestConnectToSelf(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		d := gonet.Dialer{Stack: p.a, LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 5000}}
		c, err := d.Dial("tcp", d.LocalAddr.String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("hello, me"))
		got := make([]byte, 100)
		if n, err := c.Read(got); string(got[:n]) != "hello, me" || err != nil {
			t.Errorf("%q, %v", got[:n], err)
		}
		c.Close()
	})
}

func TestBroadcast(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		ua, ub := listenUDP(t, p.a, ":67"), listenUDP(t, p.b, ":67")
		for _, to := range []string{"255.255.255.255", "10.0.0.255"} {
			if _, err := ua.WriteTo([]byte(to), &net.UDPAddr{IP: net.ParseIP(to), Port: 67}); err != nil {
				t.Fatal(err)
			}
			for _, u := range []*udp.Conn{ua, ub} { // the sender is one of all
				got := make([]byte, 100)
				var info udp.Info
				u.SetReadDeadline(time.Now().Add(time.Second))
				n, err := u.ReadMsg(got, &info)
				if string(got[:n]) != to || err != nil || info.Local.Addr().String() != to {
					t.Errorf("%q for %v, %v", got[:n], info.Local, err)
				}
			}
		}
	})
}

func TestMulticast(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		group := netip.MustParseAddr("239.1.2.3")
		ub := listenUDP(t, p.b, ":5353")
		ua := listenUDP(t, p.a, ":0")
		send := func() error {
			if _, err := ua.WriteToAddrPort([]byte("to all of you"), netip.AddrPortFrom(group, 5353)); err != nil {
				t.Fatal(err)
			}
			ub.SetReadDeadline(time.Now().Add(time.Second))
			_, err := ub.Read(make([]byte, 100))
			return err
		}
		if err := send(); !isTimeout(err) {
			t.Errorf("before joining: %v", err)
		}
		if err := ub.JoinGroup(group, 0); err != nil {
			t.Fatal(err)
		}
		if err := send(); err != nil {
			t.Errorf("as a member: %v", err)
		}
		if err := ub.LeaveGroup(group, 0); err != nil {
			t.Fatal(err)
		}
		if err := send(); !isTimeout(err) {
			t.Errorf("after leaving: %v", err)
		}
	})
}

// A card that has stopped receiving holds nobody up who joins a group.
func TestJoinOnDeadCard(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		rx, tx := make(chan *packet.Buffer), make(chan *packet.Buffer)
		close(rx)
		go func() {
			for b := range tx {
				b.Release()
			}
		}()
		dead := link.Link{Rx: rx, Tx: tx, MAC: ethernet.Addr{2, 0, 0, 0, 0, 1}, MTU: 1500}
		h := newHost(t, dead, "10.0.0.1/24", 1)
		defer h.Close()
		for _, group := range []string{"239.1.2.3", "239.1.2.4"} {
			if err := listenUDP(t, h, ":0").JoinGroup(netip.MustParseAddr(group), 0); err != nil {
				t.Error(err)
			}
		}
	})
}

// Datagrams of no bytes, and of all that fit.
func TestDatagramSizes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		u := listenUDP(t, p.b, ":53")
		c := dialUDP(t, p.a, "10.0.0.2:53")
		got := make([]byte, udp.MaxSize)
		for _, n := range []int{0, 1, 1472, 1473, udp.MaxSize} {
			want := payload(n)
			if m, err := c.Write(want); m != n || err != nil {
				t.Errorf("Write: %d, %v", m, err)
			}
			m, from, err := u.ReadFromAddrPort(got)
			if err != nil || !bytes.Equal(got[:m], want) || from.Addr() != netip.MustParseAddr("10.0.0.1") {
				t.Errorf("%d of %d bytes from %v, %v", m, n, from, err)
			}
		}
	})
}

package stack

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
)

// A diamond is two hosts with two networks each, and two ways between them:
//
//	            ┌─ 10.0.0.254 upper 10.1.0.254 ─┐
//	10.0.0.1  a ┤                               ├ b  10.1.0.1
//	10.2.0.1    └─ 10.2.0.254 lower 10.3.0.254 ─┘    10.3.0.1
//
// Both hosts prefer the upper way.
type diamond struct {
	pair
	upper, lower *gonet.Stack

	down cable // between upper and b; cut, nothing passes there in either direction
}

func newDiamond(t *testing.T) *diamond {
	t.Helper()
	d := new(diamond)
	pipe := func(addrs ...string) [2]gonet.Interface {
		l, r := link.Pipe(link.PipeConfig{})
		if addrs[0] == "10.1.0.254/24" {
			l = d.down.plug(l)
		}
		return [2]gonet.Interface{
			{Link: l, Addrs: []netip.Prefix{netip.MustParsePrefix(addrs[0])}},
			{Link: r, Addrs: []netip.Prefix{netip.MustParsePrefix(addrs[1])}},
		}
	}
	start := func(forward bool, routes []gonet.Route, links ...gonet.Interface) *gonet.Stack {
		s, err := gonet.New(gonet.Config{Interfaces: links, Forward: forward, Routes: routes})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	by := func(to, gateway string, i int) gonet.Route {
		return gonet.Route{Prefix: netip.MustParsePrefix(to), Gateway: netip.MustParseAddr(gateway), Interface: i}
	}
	au, al := pipe("10.0.0.1/24", "10.0.0.254/24"), pipe("10.2.0.1/24", "10.2.0.254/24")
	ub, lb := pipe("10.1.0.254/24", "10.1.0.1/24"), pipe("10.3.0.254/24", "10.3.0.1/24")
	d.a = start(false, []gonet.Route{by("0.0.0.0/0", "10.0.0.254", 0), by("0.0.0.0/0", "10.2.0.254", 1)}, au[0], al[0])
	d.b = start(false, []gonet.Route{by("0.0.0.0/0", "10.1.0.254", 0), by("0.0.0.0/0", "10.3.0.254", 1)}, ub[1], lb[1])
	d.upper = start(true, []gonet.Route{by("10.2.0.0/24", "10.0.0.1", 0)}, au[1], ub[0])
	d.lower = start(true, []gonet.Route{by("10.1.0.0/24", "10.3.0.1", 1), by("10.0.0.0/24", "10.2.0.1", 0)}, al[1], lb[0])
	return d
}

// TestSourceOfDial: MUST-44, RFC1122-3.3.4.3: the source of a connection is the
// address that belongs to the way to its destination.
func TestSourceOfDial(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDiamond(t)
		for _, c := range []struct {
			to   *gonet.Stack
			addr string
			from string
		}{
			{d.upper, "10.0.0.254:0", "10.0.0.1"}, // neighbours
			{d.lower, "10.2.0.254:0", "10.2.0.1"},
			{d.b, "10.1.0.1:0", "10.0.0.1"}, // by the preferred gateway
			{d.b, "10.3.0.1:0", "10.0.0.1"},
		} {
			dialled, accepted := connect(t, d.a, c.to, c.addr)
			if got := accepted.Info().Remote.Addr(); got.String() != c.from || dialled.Info().Local.Addr() != got {
				t.Errorf("to %s from %s, want %s", c.addr, got, c.from)
			}
			dialled.Close()
			accepted.Close()
		}
	})
}

// TestLocalOfDial: MUST-43, RFC1122-3.3.4.2-2: the user may choose the address and the
// port that a connection comes from.
func TestLocalOfDial(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDiamond(t)
		l := listen(t, d.b, "10.3.0.1:80")
		for _, local := range []string{"10.2.0.1:5000", "10.0.0.1:5000", "10.2.0.1:0"} {
			at := netip.MustParseAddrPort(local)
			c, err := d.a.DialWith(t.Context(), "10.3.0.1:80", tcp.DialOptions{Local: at})
			if err != nil {
				t.Fatal(err)
			}
			accepted, err := l.AcceptTCP()
			if err != nil {
				t.Fatal(err)
			}
			from := accepted.Info().Remote
			if from != c.Info().Local || from.Addr() != at.Addr() || at.Port() != 0 && from != at {
				t.Errorf("from %v, want %v", from, at)
			}
			c.Close()
			accepted.Close()
		}
		if _, err := d.a.DialWith(t.Context(), "10.3.0.1:80", tcp.DialOptions{Local: netip.MustParseAddrPort("10.3.0.1:0")}); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("from an address of another: %v", err)
		}
		if _, err := d.a.DialWith(t.Context(), "localhost:80", tcp.DialOptions{}); err == nil {
			t.Error("a name is no address")
		}
	})
}

// TestWayOfConnection: MUST-20, MUST-45, RFC1122-3.3.1.4-6, RFC1122-3.3.1.5: when
// the way of a connection fails silently behind the first gateway, TCP's advice
// leads it another way; its addresses stay what they were.
func TestWayOfConnection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDiamond(t)
		ca, cb := connect(t, d.a, d.b, "10.1.0.1:0")
		before := ca.Info()
		exchange := func() {
			t.Helper()
			for _, way := range []struct{ from, to *tcp.Conn }{{ca, cb}, {cb, ca}} {
				if _, err := way.from.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
				way.to.SetReadDeadline(time.Now().Add(time.Minute))
				if n, err := way.to.Read(make([]byte, 10)); n != 5 || err != nil {
					t.Fatalf("%d bytes, %v", n, err)
				}
			}
		}
		exchange()
		d.down.cut.Store(true)
		exchange()
		after := ca.Info()
		if after.Local != before.Local || after.Remote != before.Remote || after.SoftError != nil {
			t.Errorf("from %v to %v, now from %v to %v, %v", before.Local, before.Remote, after.Local, after.Remote, after.SoftError)
		}
		if n := d.a.Stats()["ipv4.PathsDead"]; n != 1 { // b's ARP notices that its gateway is silent
			t.Errorf("%d ways were given up", n)
		}
	})
}

package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/dns"
)

// A listener's address can be dialled, also when it is every address.
func TestDialWildcard(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		for _, address := range []string{":http", ":81", "0.0.0.0:82", "[::]:83", "localhost:84", "[::ffff:10.0.0.1]:85", "", ":"} {
			l, err := p.a.Listen("tcp4", address)
			if err != nil {
				t.Errorf("listen on %q: %v", address, err)
				continue
			}
			if address == "" || address == ":" {
				address = l.Addr().String()
			}
			for _, to := range []string{address, l.Addr().String()} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				c, err := p.a.DialContext(ctx, "tcp", to)
				cancel()
				if err != nil {
					t.Errorf("dial %q: %v", to, err)
					continue
				}
				c.Close()
			}
			l.Close()
		}
		u := listenUDP(t, p.a, ":53")
		for _, to := range []string{":53", "[::]:domain", "localhost:53"} {
			c := dialUDP(t, p.a, to)
			c.Write([]byte(to))
			got := make([]byte, 20)
			if n, _, err := u.ReadFrom(got); string(got[:n]) != to || err != nil {
				t.Errorf("%q, %v", got[:n], err)
			}
			c.Close()
		}
		if _, err := u.WriteTo([]byte("self"), &net.UDPAddr{Port: 53}); err != nil {
			t.Errorf("to no address: %v", err)
		}
		u.Close()
		if _, err := p.a.ListenPacket("tcp", ":80"); err == nil {
			t.Error("a packet socket of TCP")
		}
		if _, err := p.a.Listen("udp", ":80"); err == nil {
			t.Error("a listener of UDP")
		}
		if _, err := p.a.DialFastOpen(t.Context(), "udp", ":80", nil); err == nil {
			t.Error("Fast Open of UDP")
		}
	})
}

// The first address that answers is dialled, and the first error told.
func TestDialEach(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		addrs := func(all ...string) (addrs []netip.Addr) {
			for _, a := range all {
				addrs = append(addrs, netip.MustParseAddr(a))
			}
			return addrs
		}
		p := newStaticPairOf(t, gonet.Config{DNS: dns.Config{Hosts: map[string][]netip.Addr{
			"third":   addrs("192.0.2.1", "10.0.0.9", "10.0.0.2"),
			"refuses": addrs("10.0.0.2", "192.0.2.1"),
		}}})
		defer p.close()
		l := listen(t, p.b, ":80")
		defer l.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		c, err := p.a.DialContext(ctx, "tcp", "third:80")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if d := time.Since(start); d != 15*time.Second { // half of it for the address where nobody answers
			t.Errorf("it took %v", d)
		}
		if _, err = p.a.DialContext(ctx, "tcp", "refuses:81"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the first error is %v", err)
		}
	})
}

package gonet

import (
	"context"
	"errors"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/tcp"
)

func TestResolve(t *testing.T) {
	s := Stack{dns: dns.NewResolver(nil, nil, dns.Config{})}
	for _, c := range []struct {
		network, address string
		want             []string
		err              string
	}{
		{"tcp", "10.0.0.1:80", []string{"10.0.0.1:80"}, ""},
		{"tcp4", "[::ffff:10.0.0.1]:80", []string{"10.0.0.1:80"}, ""},
		{"udp", "10.0.0.1:domain", []string{"10.0.0.1:53"}, ""},
		{"tcp", "10.0.0.1:HTTPS", []string{"10.0.0.1:443"}, ""},
		{"tcp", "10.0.0.1:", []string{"10.0.0.1:0"}, ""},
		{"tcp", "[::]:80", []string{"0.0.0.0:80"}, ""},
		{"tcp", ":80", []string{"invalid AddrPort"}, ""},
		{"tcp", "localhost:80", []string{"127.0.0.1:80"}, ""},
		{"tcp", "www.LOCALHOST.:+80", []string{"127.0.0.1:80"}, ""},

		{"tcp6", ":80", nil, "listen tcp6: socket: address family not supported by protocol"},
		{"tcp6", "[::1]:80", nil, "listen tcp6: socket: address family not supported by protocol"},
		{"tcp6", "10.0.0.1:80", nil, "listen tcp6: address 10.0.0.1: no suitable address found"},
		{"unix", "/tmp/socket", nil, "listen unix: unknown network unix"},
		{"", ":80", nil, "listen: unknown network "},
		{"4", ":80", nil, "listen 4: unknown network 4"},
		{"tcp", "10.0.0.1", nil, "listen tcp: address 10.0.0.1: missing port in address"},
		{"tcp", "10.0.0.1:65536", nil, "listen tcp: address 65536: invalid port"},
		{"tcp", "10.0.0.1:-1", nil, "listen tcp: address -1: invalid port"},
		{"tcp", "10.0.0.1:99999999999999999999", nil, "listen tcp: address 99999999999999999999: invalid port"},
		{"tcp4", "10.0.0.1:nosuch", nil, "listen tcp4: lookup tcp4/nosuch: unknown port"},
		{"udp", "10.0.0.1:http", nil, "listen udp: lookup udp/http: unknown port"},
		{"tcp", "example.com.invalid:80", nil, "listen tcp: lookup example.com.invalid: no such host"},
		{"tcp", "[::1]:80", nil, "listen tcp: address ::1: no suitable address found"},
		{"tcp", "[fe80::1%eth0]:80", nil, "listen tcp: address fe80::1%eth0: no suitable address found"},
	} {
		d, err := s.resolve(t.Context(), "listen", c.network, c.address)
		var got []string
		for _, a := range d.addrs {
			got = append(got, a.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %s is %v, want %v", c.network, c.address, got, c.want)
		}
		if err == nil && c.err != "" || err != nil && err.Error() != c.err {
			t.Errorf("%s %s: %v; want %s", c.network, c.address, err, c.err)
		}
	}
	if _, err := s.resolve(t.Context(), "dial", "tcp", ""); err == nil || err.Error() != "dial tcp: missing address" {
		t.Errorf("dial to nothing: %v", err)
	}
	for _, op := range []string{"", ":"} {
		if d, err := s.resolve(t.Context(), "listen", "tcp", op); err != nil || d.addrs[0].Port() != 0 {
			t.Errorf("listen on %q: %v, %v", op, d, err)
		}
	}
}

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
		p := newStaticPair(t)
		defer p.close()
		l := listen(t, p.b, ":80")
		defer l.Close()
		to := func(addrs ...string) (d destination) {
			for _, a := range addrs {
				one, err := p.a.resolve(t.Context(), "dial", "tcp", a)
				if err != nil {
					t.Fatal(err)
				}
				d.addrs = append(d.addrs, one.addrs...)
			}
			return d
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		c, err := p.a.dialTCP(ctx, to("192.0.2.1:80", "10.0.0.9:80", "10.0.0.2:80"), tcp.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if d := time.Since(start); d != 15*time.Second { // half of it for the address where nobody answers
			t.Errorf("it took %v", d)
		}
		_, err = p.a.dialTCP(ctx, to("10.0.0.2:81", "192.0.2.1:80"), tcp.DialOptions{})
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the first error is %v", err)
		}
	})
}

package gonet

import (
	"slices"
	"testing"

	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/edge"
)

func TestResolve(t *testing.T) {
	s := Stack{dns: dns.NewResolver(edge.Out[dns.Call]{}, nil, dns.Config{})}
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

package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// TestAsPackageNet has the same server asked by package net's resolver and by this
// one, and compares what they say. Differences that are meant have a reason. It
// is not in a bubble, since package net's resolver is global.
func TestAsPackageNet(t *testing.T) {
	const name = "www.example.org."
	for _, c := range []struct {
		what string
		response
		differs string // why; empty: it does not
	}{
		{"an address", answers(a(name, 60, "192.0.2.1")), ""},
		{"three", answers(a(name, 60, "192.0.2.3"), a(name, 60, "192.0.2.1"), a(name, 60, "192.0.2.2")), ""},
		{"an alias", answers(cname(name, 60, "web.example.org."), a("web.example.org.", 60, "192.0.2.1")), ""},
		{"NXDOMAIN", nxdomain, ""},
		{"no data", response{Authorities: []dnsmessage.Resource{soa("org.", 60, 60)}}, ""},
		{"nothing", response{}, ""},
		{"SERVFAIL", servfail, ""},
		{"REFUSED", response{RCode: dnsmessage.RCodeRefused}, ""},
		{"NOTIMP", response{RCode: dnsmessage.RCodeNotImplemented}, ""},
		{"lame", response{NoRecursion: true}, ""},
		{"a referral by one that does recursion", response{Authorities: []dnsmessage.Resource{ns("org.", "ns.")}},
			"RFC 2308 section 2.2: it is no negative answer, and the next server may know"},
		{"a loop", answers(cname(name, 60, name)),
			"that the name leads nowhere is no proof that there is none"},
		{"an address of another name", answers(a("evil.example.", 60, "192.0.2.66")),
			"an address is believed only at the end of the chain that begins with the name"},
	} {
		n := &network{t: t, answer: func(network, asked string) []response { return []response{c.response} }}
		cfg := Config{Servers: []netip.AddrPort{server1}, Dial: n.dial}
		ours := startRun(t, cfg, &Stats{})
		theirs := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return n.dial(ctx, "tcp", server1) // a net.Pipe is no PacketConn, so it writes as to TCP
		}}
		gotAddrs, gotErr := ours.LookupNetIP(t.Context(), "ip4", name)
		wantAddrs, wantErr := theirs.LookupNetIP(t.Context(), "ip4", name)
		for i := range wantAddrs {
			wantAddrs[i] = wantAddrs[i].Unmap()
		}
		slices.SortFunc(gotAddrs, netip.Addr.Compare) // package net sorts them
		slices.SortFunc(wantAddrs, netip.Addr.Compare)
		got, want := facts(gotErr), facts(wantErr)
		if same := slices.Equal(gotAddrs, wantAddrs) && got == want; same != (c.differs == "") {
			t.Errorf("%s: %v, %+v; package net: %v, %+v; meant to differ: %q", c.what, gotAddrs, got, wantAddrs, want, c.differs)
		}
	}
}

// facts is what programs look at in an error of a resolver, but for the address
// of the server.
func facts(err error) (e net.DNSError) {
	var d *net.DNSError
	if errors.As(err, &d) {
		e = *d
		e.Server, e.UnwrapErr = "", nil
		e.Name = strings.TrimSuffix(e.Name, ".")
	}
	return e
}

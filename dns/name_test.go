package dns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestAbsolute(t *testing.T) {
	long := strings.Repeat("a", 63)
	longest := strings.Repeat(long+".", 3) + strings.Repeat("a", 61) // 253
	for name, want := range map[string]string{
		"example.org":   "example.org.",
		"Example.ORG.":  "example.org.",
		"a":             "a.",
		"_srv._tcp.x":   "_srv._tcp.x.",
		"xn--bcher-kva": "xn--bcher-kva.",
		"1.2.3.x4":      "1.2.3.x4.",
		long:            long + ".",
		longest:         longest + ".",
		longest + ".":   longest + ".",
		longest + "a":   "",
		long + "a":      "",
		"":              "",
		".":             "",
		"a..b":          "",
		".a":            "",
		"a..":           "",
		"-a":            "",
		"a-":            "",
		"a-.b":          "",
		"a b":           "",
		"bücher":        "",
		"1.2.3":         "",
		"a\x00":         "",
		"10.0.0.1:53":   "",
	} {
		got, ok := absolute(name)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %v; want %q", name, got, ok, want)
		}
	}
}

// TestCandidates: RFC1123-6.1.4.3-1, RFC1123-6.1.4.3-2, RFC7686-2: what a name may stand for.
func TestCandidates(t *testing.T) {
	search := []string{"a.org", "B."}
	for _, c := range []struct {
		name   string
		search []string
		ndots  int
		want   string
	}{
		{"h", nil, 0, "h."},
		{"h", search, 0, "h.a.org. h.b. h."},
		{"h.", search, 0, "h."},
		{"h.x", search, 0, "h.x. h.x.a.org. h.x.b."},
		{"h.x", search, 2, "h.x.a.org. h.x.b. h.x."},
		{"h.x.", search, 2, "h.x."},
		{"h.x.y", search, 2, "h.x.y. h.x.y.a.org. h.x.y.b."},
		{strings.Repeat("a.", 125) + "bc", search, 0, strings.Repeat("a.", 125) + "bc."}, // 252
		{"x.onion", search, 0, ""},
		{"no name", search, 0, ""},
	} {
		cfg := Config{Search: c.search, Ndots: c.ndots}.withDefaults()
		if got := cfg.candidates(c.name); strings.Join(got, " ") != c.want {
			t.Errorf("%q in %v with %d dots: %q, want %q", c.name, c.search, c.ndots, got, c.want)
		}
	}
}

func TestReverse(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":          "1.2.0.192.in-addr.arpa.",
		"::ffff:192.0.2.1":   "1.2.0.192.in-addr.arpa.",
		"2001:db8::567:89ab": "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
	} {
		if got := reverse(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is %s", addr, got)
		}
	}
}

// TestHosts: RFC6761-6.3, RFC6761-6.4: names that no server is asked for.
func TestHosts(t *testing.T) {
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	h := newHosts(map[string][]netip.Addr{
		"Db.Example": {one, two}, "alias.": {netip.MustParseAddr("::ffff:192.0.2.1")}, "nobody": nil, "localhost.localdomain": {one},
	})
	for name, want := range map[string][]netip.Addr{
		"db.example": {one, two}, "DB.EXAMPLE.": {one, two}, "alias": {one},
		"localhost": loopback, "a.LocalHost.": loopback, "nobody": {}, "invalid": {}, "x.invalid.": {},
		"example": nil, "notlocalhost": nil, "": nil, "localhost.localdomain": {one},
	} {
		got, ok := h.lookup(name)
		if ok != (want != nil) || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", name, got, ok, want)
		}
	}
	for addr, want := range map[netip.Addr]string{
		one: "alias db.example localhost.localdomain", two: "db.example", loopback4: "localhost",
		netip.IPv6Loopback(): "localhost", netip.MustParseAddr("192.0.2.9"): "",
	} {
		if got := strings.Join(h.namesOf(addr), " "); got != want {
			t.Errorf("%v: %q, want %q", addr, got, want)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	good := Config{
		Servers: []netip.AddrPort{server1, netip.AddrPortFrom(netip.IPv6Loopback(), 0)}, Search: []string{"example.org", "a."},
		Hosts: map[string][]netip.Addr{"h": {netip.IPv6Loopback()}, "nobody": nil},
	}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Config{
		{Servers: []netip.AddrPort{{}}},
		{Servers: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:53")}},
		{Servers: []netip.AddrPort{netip.MustParseAddrPort("224.0.0.251:5353")}},
		{Search: []string{"a..b"}},
		{Hosts: map[string][]netip.Addr{"": nil}},
		{Hosts: map[string][]netip.Addr{"h": {{}}}},
		{Ndots: -1}, {Timeout: -1}, {Attempts: -1}, {MaxLookups: -1}, {MinTTL: -1}, {MaxTTL: -1}, {MaxNegativeTTL: -1},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if m := newMachine(Config{Servers: []netip.AddrPort{netip.AddrPortFrom(server1.Addr(), 0)}}, &Stats{}); m.servers[0].addr != server1 {
		t.Errorf("a server without port is asked at %v", m.servers[0].addr)
	}
}

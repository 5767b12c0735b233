package ip

import (
	"net/netip"
	"strings"
	"testing"
)

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func prefixes(s ...string) (p []netip.Prefix) {
	for _, s := range s {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func mustTable(t testing.TB, interfaces []Interface, routes []Route) *Table {
	t.Helper()
	table, err := NewTable(interfaces, routes)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// twoLinks is a host with an office network of two gateways on link 0, and
// another network on link 1.
func twoLinks(t testing.TB) *Table {
	return mustTable(t, []Interface{
		{Addrs: prefixes("10.0.0.2/24", "10.0.1.2/24", "10.0.0.3/24")},
		{Addrs: prefixes("192.168.7.1/30", "172.16.0.1/32"), MTU: 9000},
	}, []Route{
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: addr("10.0.1.1")},
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: addr("192.168.7.2"), Link: 1},
		{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Gateway: addr("10.0.0.1")},
		{Prefix: netip.MustParsePrefix("10.9.8.0/24"), Gateway: addr("192.168.7.2"), Link: 1},
		{Prefix: netip.MustParsePrefix("172.16.0.9/32"), Link: 1},
		{Prefix: netip.MustParsePrefix("10.7.0.0/16"), Gateway: addr("172.16.0.9"), Link: 1},
		{Prefix: netip.MustParsePrefix("239.0.0.0/8"), Link: 1},
	})
}

// RFC1122-3.2.1.3-1, RFC1122-3.2.2.9-1, RFC1122-3.3.1.1-1, RFC1122-3.3.1.3,
// RFC1122-3.3.1.6, RFC1122-3.3.3-1, RFC1122-3.3.4.3, RFC1122-3.3.6-1: masks decide what
// is local, the longest prefix where it goes, and every broadcast form is
// known.
func TestTableLookup(t *testing.T) {
	table := twoLinks(t)
	for _, c := range []struct {
		dst     string
		link    int
		nextHop string
		mtu     int
		kind    string // "", "local" or "group"
		source  string
	}{
		{"10.0.0.77", 0, "10.0.0.77", 1500, "", "10.0.0.2"},
		{"10.0.1.77", 0, "10.0.1.77", 1500, "", "10.0.1.2"},
		{"192.168.7.2", 1, "192.168.7.2", 9000, "", "192.168.7.1"},
		{"10.9.1.1", 0, "10.0.0.1", 1500, "", "10.0.0.2"},
		{"10.9.8.1", 1, "192.168.7.2", 9000, "", "192.168.7.1"},
		{"10.7.8.1", 1, "172.16.0.9", 9000, "", "192.168.7.1"},
		{"172.16.0.9", 1, "172.16.0.9", 9000, "", "192.168.7.1"},
		{"8.8.8.8", 0, "10.0.1.1", 1500, "", "10.0.1.2"},
		{"10.0.0.2", -1, "10.0.0.2", 65535, "local", "10.0.0.2"},
		{"10.0.0.3", -1, "10.0.0.3", 65535, "local", "10.0.0.3"},
		{"172.16.0.1", -1, "172.16.0.1", 65535, "local", "172.16.0.1"},
		{"127.0.0.1", -1, "127.0.0.1", 65535, "local", "127.0.0.1"},
		{"127.9.9.9", -1, "127.9.9.9", 65535, "local", "127.0.0.1"},
		{"10.0.0.255", 0, "10.0.0.255", 1500, "group", "10.0.0.2"},
		{"10.0.1.255", 0, "10.0.1.255", 1500, "group", "10.0.1.2"},
		{"10.0.0.0", 0, "10.0.0.0", 1500, "group", "10.0.0.2"},
		{"192.168.7.3", 1, "192.168.7.3", 9000, "group", "192.168.7.1"},
		{"255.255.255.255", 0, "255.255.255.255", 1500, "group", "10.0.1.2"},
		{"0.0.0.0", 0, "0.0.0.0", 1500, "group", "10.0.1.2"},
		{"224.0.0.251", 0, "224.0.0.251", 1500, "group", "10.0.1.2"},
		{"239.1.2.3", 1, "239.1.2.3", 9000, "group", "192.168.7.1"},
	} {
		want := Hop{Link: c.link, NextHop: addr(c.nextHop), MTU: c.mtu, Local: c.kind == "local", Broadcast: c.kind == "group"}
		if got, ok := table.Lookup(addr(c.dst)); !ok || got != want {
			t.Errorf("Lookup(%s) = %+v, %v; want %+v", c.dst, got, ok, want)
		}
		if got, ok := table.Source(addr(c.dst)); !ok || got != addr(c.source) {
			t.Errorf("Source(%s) = %v, %v; want %s", c.dst, got, ok, c.source)
		}
		if got := table.IsLocal(addr(c.dst)); got != want.Local {
			t.Errorf("IsLocal(%s) = %v", c.dst, got)
		}
		if got, want := table.IsBroadcast(addr(c.dst)), want.Broadcast && !addr(c.dst).IsMulticast(); got != want {
			t.Errorf("IsBroadcast(%s) = %v", c.dst, got)
		}
	}
}

// RFC1122-3.3.1.1-2: a host works without any gateway.
func TestTableWithoutGateway(t *testing.T) {
	table := mustTable(t, []Interface{{Addrs: prefixes("10.0.0.2/31")}}, nil)
	if hop, ok := table.Lookup(addr("10.0.0.3")); !ok || hop.Broadcast || hop.NextHop != addr("10.0.0.3") {
		t.Errorf("neighbour in a /31 (RFC 3021): %+v, %v", hop, ok)
	}
	for _, a := range []string{"8.8.8.8", "", "::1"} {
		if hop, ok := table.Lookup(addr(a)); ok {
			t.Errorf("Lookup(%q) = %+v, want none", a, hop)
		}
		if s, ok := table.Source(addr(a)); ok {
			t.Errorf("Source(%q) = %v, want none", a, s)
		}
		if table.IsLocal(addr(a)) || table.IsBroadcast(addr(a)) {
			t.Errorf("%q is not ours", a)
		}
	}
}

// A host without links talks to itself.
func TestTableLoopbackOnly(t *testing.T) {
	table := mustTable(t, nil, nil)
	if hop, ok := table.Lookup(addr("127.0.0.1")); !ok || !hop.Local {
		t.Errorf("127.0.0.1: %+v, %v", hop, ok)
	}
	if _, ok := table.Lookup(addr("224.0.0.1")); ok {
		t.Error("a group is reached without a link")
	}
	if !table.IsBroadcast(addr("255.255.255.255")) || !table.IsBroadcast(addr("0.0.0.0")) {
		t.Error("limited broadcast is not known")
	}
}

func TestTableOverlap(t *testing.T) {
	table := mustTable(t, []Interface{{Addrs: prefixes("10.0.0.1/24")}, {Addrs: prefixes("10.0.0.255/16")}}, nil)
	if !table.IsLocal(addr("10.0.0.255")) || table.IsBroadcast(addr("10.0.0.255")) {
		t.Error("an own address is taken for the broadcast address of another network")
	}
}

func TestTableUnnumberedLink(t *testing.T) {
	table := mustTable(t, []Interface{{}}, []Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}})
	if hop, ok := table.Lookup(addr("10.1.2.3")); !ok || hop.NextHop != addr("10.1.2.3") {
		t.Errorf("default route on the link: %+v, %v", hop, ok)
	}
	if s, ok := table.Source(addr("10.1.2.3")); ok {
		t.Errorf("Source = %v from a link without addresses", s)
	}
}

func TestTableErrors(t *testing.T) {
	office := Interface{Addrs: prefixes("10.0.0.2/24")}
	route := func(prefix, gateway string, link int) []Route {
		return []Route{{Prefix: netip.MustParsePrefix(prefix), Gateway: addr(gateway), Link: link}}
	}
	for _, c := range []struct {
		name       string
		interfaces []Interface
		routes     []Route
		want       string
	}{
		{"small MTU", []Interface{{MTU: 67}}, nil, "MTU 67"},
		{"large MTU", []Interface{{MTU: 65536}}, nil, "MTU 65536"},
		{"invalid", []Interface{{Addrs: []netip.Prefix{{}}}}, nil, "not an IPv4 address"},
		{"IPv6", []Interface{{Addrs: prefixes("fe80::1/64")}}, nil, "not an IPv4 address"},
		{"RFC1122-3.2.1.3-2 multicast", []Interface{{Addrs: prefixes("224.0.0.9/24")}}, nil, "cannot be the address"},
		{"loopback", []Interface{{Addrs: prefixes("127.0.0.1/8")}}, nil, "cannot be the address"},
		{"unspecified", []Interface{{Addrs: prefixes("0.0.0.0/8")}}, nil, "cannot be the address"},
		{"no mask", []Interface{{Addrs: prefixes("10.0.0.2/0")}}, nil, "cannot be the address"},
		{"RFC1122-3.2.1.3-2 broadcast", []Interface{{Addrs: prefixes("10.0.0.255/24")}}, nil, "broadcast address"},
		{"RFC1122-3.2.1.3-2 old broadcast", []Interface{{Addrs: prefixes("10.0.0.0/24")}}, nil, "broadcast address"},
		{"twice", []Interface{office, office}, nil, "interface 1: address 10.0.0.2 is there twice"},
		{"route invalid", []Interface{office}, []Route{{}}, "not an IPv4 prefix"},
		{"route IPv6", []Interface{office}, route("2001:db8::/32", "", 0), "not an IPv4 prefix"},
		{"host bits", []Interface{office}, route("10.1.2.3/8", "10.0.0.1", 0), "is it 10.0.0.0/8?"},
		{"loopback route", []Interface{office}, route("127.3.0.0/16", "10.0.0.1", 0), "loopback"},
		{"no interface", []Interface{office}, route("10.1.0.0/16", "10.0.0.1", 1), "no interface 1"},
		{"negative", []Interface{office}, route("10.1.0.0/16", "10.0.0.1", -1), "no interface -1"},
		{"far gateway", []Interface{office}, route("0.0.0.0/0", "10.0.1.1", 0), "in no network of interface 0"},
		{"own gateway", []Interface{office}, route("0.0.0.0/0", "10.0.0.2", 0), "cannot be a gateway"},
		{"broadcast gateway", []Interface{office}, route("0.0.0.0/0", "10.0.0.255", 0), "cannot be a gateway"},
		{"multicast gateway", []Interface{office}, route("0.0.0.0/0", "224.0.0.1", 0), "cannot be a gateway"},
		{"IPv6 gateway", []Interface{office}, route("0.0.0.0/0", "fe80::1", 0), "cannot be a gateway"},
		{"multicast by gateway", []Interface{office}, route("239.0.0.0/8", "10.0.0.1", 0), "multicast route"},
	} {
		if _, err := NewTable(c.interfaces, c.routes); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one about %q", c.name, err, c.want)
		}
	}
}

func TestTableAllocs(t *testing.T) {
	table := twoLinks(t)
	dst := addr("8.8.8.8")
	if n := testing.AllocsPerRun(100, func() {
		table.Lookup(dst)
		table.Source(dst)
		table.IsLocal(dst)
		table.IsBroadcast(dst)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	table := mustTable(b, []Interface{{Addrs: prefixes("10.0.0.2/24")}},
		[]Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: addr("10.0.0.1")}})
	for _, c := range []struct{ name, dst string }{{"own", "10.0.0.2"}, {"link", "10.0.0.9"}, {"default", "8.8.8.8"}} {
		b.Run(c.name, func(b *testing.B) {
			dst := addr(c.dst)
			b.ReportAllocs()
			for b.Loop() {
				table.Lookup(dst)
			}
		})
	}
}

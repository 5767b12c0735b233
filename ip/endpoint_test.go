package ip

import (
	"net/netip"
	"testing"
)

// An Endpoint keeps an address of either version; any is the same in both.
func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		addr, want string
		wildcard   bool
	}{
		{"10.0.0.1", "10.0.0.1", false},
		{"::ffff:10.0.0.1", "10.0.0.1", false},
		{"2001:db8::1", "2001:db8::1", false},
		{"0.0.0.0", "0.0.0.0", true},
		{"::", "0.0.0.0", true},
		{"", "0.0.0.0", true},
	} {
		e := EndpointOf(addr(c.addr), 80)
		if e.Addr() != addr(c.want) || e.IsWildcard() != c.wildcard || e.Port != 80 {
			t.Errorf("%q: %v, any: %v", c.addr, e.AddrPort(), e.IsWildcard())
		}
	}
	if a, b := EndpointOfAddrPort(netip.MustParseAddrPort("10.0.0.1:80")), EndpointOf(addr("10.0.0.1"), 80); a != b {
		t.Errorf("%v is not %v", a, b)
	}
	if (Flow{Local: EndpointOf(addr("10.0.0.1"), 80)}) == (Flow{Local: EndpointOf(addr("10.0.0.1"), 81)}) {
		t.Error("flows of different ports are the same")
	}
}

func TestMask(t *testing.T) {
	for bits, want := range map[int]key{0: {}, 1: {1 << 63, 0}, 64: {^uint64(0), 0}, 96: {^uint64(0), 0xffffffff << 32}, 128: {^uint64(0), ^uint64(0)}} {
		if got := maskOf(bits); got != want {
			t.Errorf("%d: %x, want %x", bits, got, want)
		}
	}
}

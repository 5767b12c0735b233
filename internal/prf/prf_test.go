package prf

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestFlow: RFC6528-3: each of the inputs changes the result, and the same
// ones give it again.
func TestFlow(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:81")
	key := NewKey(rand.New(rand.NewPCG(1, 2)).Uint64)
	other := NewKey(rand.New(rand.NewPCG(1, 3)).Uint64)
	f := key.Flow(a, b)
	if f != key.Flow(a, b) {
		t.Error("the same flow gives two values")
	}
	for name, g := range map[string]uint64{
		"key":            other.Flow(a, b),
		"direction":      key.Flow(b, a),
		"local port":     key.Flow(netip.AddrPortFrom(a.Addr(), 82), b),
		"remote port":    key.Flow(a, netip.AddrPortFrom(b.Addr(), 82)),
		"local address":  key.Flow(netip.AddrPortFrom(b.Addr(), 80), b),
		"remote address": key.Flow(a, netip.AddrPortFrom(a.Addr(), 81)),
	} {
		if g == f {
			t.Errorf("another %s gives the same value", name)
		}
	}
	if key.FlowWith(a, b, 0, 0) != f || key.FlowWith(a, b, 1, 0) == f || key.FlowWith(a, b, 0, 1) == key.FlowWith(a, b, 1, 0) {
		t.Error("the numbers do not count")
	}
	if key.Flow(netip.AddrPort{}, b) == f { // of a socket that has no address yet
		t.Error("no address counts as 10.0.0.1")
	}
}

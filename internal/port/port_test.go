package port

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func flat(netip.Addr, netip.AddrPort) uint64 { return 12345 }

func TestChooseAll(t *testing.T) {
	c := NewChooser(77, flat)
	taken := map[uint16]bool{}
	for range count {
		p, ok := c.Choose(netip.Addr{}, netip.AddrPort{}, func(p uint16) bool { return taken[p] })
		if !ok || p < First || taken[p] {
			t.Fatalf("port %d, %v with %d taken", p, ok, len(taken))
		}
		taken[p] = true
	}
	if p, ok := c.Choose(netip.Addr{}, netip.AddrPort{}, func(p uint16) bool { return taken[p] }); ok {
		t.Fatalf("port %d with all taken", p)
	}
}

func TestChooseDependsOnPeer(t *testing.T) {
	hash := func(_ netip.Addr, r netip.AddrPort) uint64 { return uint64(r.Port()) * 7919 }
	free := func(uint16) bool { return false }
	a, _ := NewChooser(1, hash).Choose(netip.Addr{}, netip.MustParseAddrPort("10.0.0.1:80"), free)
	b, _ := NewChooser(1, hash).Choose(netip.Addr{}, netip.MustParseAddrPort("10.0.0.1:81"), free)
	if a == b {
		t.Errorf("both peers get port %d", a)
	}
}

func TestRandomAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)).Uint64
	taken := map[uint16]bool{}
	near, last := 0, uint16(0)
	for i := range count {
		p, ok := Random(random, func(p uint16) bool { return taken[p] })
		if !ok || p < First || taken[p] {
			t.Fatalf("port %d, %v with %d taken", p, ok, len(taken))
		}
		taken[p] = true
		if d := int(p) - int(last); i < count/2 && -50 < d && d < 50 {
			near++
		}
		last = p
	}
	if near > count/2/50 { // 99 of 16384 ports are so near: one in 165
		t.Errorf("%d of %d are near the one before", near, count/2)
	}
	if p, ok := Random(random, func(p uint16) bool { return taken[p] }); ok {
		t.Fatalf("port %d with all taken", p)
	}
}

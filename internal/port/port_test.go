package port

import (
	"math/rand/v2"
	"testing"
)

func seeded() func() uint64 { return rand.New(rand.NewPCG(1, 2)).Uint64 }

func TestChooseAll(t *testing.T) {
	c := NewChooser(seeded())
	taken := map[uint16]bool{}
	for range count {
		p, ok := c.Choose(func(p uint16) bool { return taken[p] })
		if !ok || p < First || taken[p] {
			t.Fatalf("port %d, %v with %d taken", p, ok, len(taken))
		}
		taken[p] = true
	}
	if p, ok := c.Choose(func(p uint16) bool { return taken[p] }); ok {
		t.Fatalf("port %d with all taken", p)
	}
}

// Ports in a row are not near each other: of 1000 steps, a hundred or more of
// less than 1000 happen by chance less than once in 10^12 runs.
func TestNoSequence(t *testing.T) {
	c := NewChooser(seeded())
	free := func(uint16) bool { return false }
	before, _ := c.Choose(free)
	near := 0
	for range 1000 {
		p, _ := c.Choose(free)
		if step := min(p-before, before-p); step < 500 {
			near++
		}
		before = p
	}
	if near >= 100 {
		t.Errorf("%d of 1000 ports are next to the one before", near)
	}
}

// A port comes again late.
func TestChooseApart(t *testing.T) {
	c := NewChooser(seeded())
	last := map[uint16]int{}
	for i := range 100_000 {
		p, _ := c.Choose(func(uint16) bool { return false })
		if before, ok := last[p]; ok && i-before <= apart {
			t.Fatalf("port %d comes again after %d", p, i-before)
		}
		last[p] = i
	}
}

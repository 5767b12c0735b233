package noninterference

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// sharedLimit is what SAD DNS used: 50 errors a time for all, of which the
// observer has the others spend 50, or 49 if one of the ports is open. Spread is
// over how many errors the edge is blurred.
func sharedLimit(secret bool, random *rand.Rand, spread int) (answered bool) {
	left := 50 + spread/2
	forged := 50
	if secret {
		forged--
	}
	for range forged {
		left--
	}
	return left > 0 && random.IntN(spread) < left
}

func TestEqual(t *testing.T) {
	world := func(spread int) World {
		return func(secret bool, seed uint64) string {
			return fmt.Sprint("before\n", sharedLimit(secret, rand.New(rand.NewPCG(seed, 1)), spread))
		}
	}
	err := Equal(1, world(1))
	if err == nil || !strings.Contains(err.Error(), "true") || strings.Contains(err.Error(), "before") {
		t.Errorf("a shared limit: %v", err)
	}
	same := func(_ bool, seed uint64) string { return world(1)(false, seed) }
	if err := Equal(10, same); err != nil {
		t.Errorf("worlds without a difference: %v", err)
	}
	if err := Equal(10, func(bool, uint64) string { return "" }); err == nil {
		t.Error("an observer who sees nothing is content")
	}
	if err := Equal(1, func(secret bool, _ uint64) string { return strings.Repeat("x\n", 1+len(fmt.Sprint(secret))%4) }); err == nil {
		t.Error("less that is seen is not a difference")
	}
}

// TestAlike: leaks are found, a limit whose edge is blurred enough is not taken
// for one, and 400 comparisons of the same give no alarm.
func TestAlike(t *testing.T) {
	const runs = 500
	world := func(spread int) func(bool, uint64) float64 {
		return func(secret bool, seed uint64) float64 {
			if sharedLimit(secret, rand.New(rand.NewPCG(seed, 1)), spread) {
				return 1
			}
			return 0
		}
	}
	for _, c := range []struct {
		spread int
		leaks  bool
	}{{1, true}, {2, true}, {3, true}, {200, false}, {1000, false}} {
		if err := Alike(runs, world(c.spread)); (err != nil) != c.leaks {
			t.Errorf("a limit with an edge over %d errors: %v", c.spread, err)
		}
	}
	counter := func(secret bool, seed uint64) float64 {
		n := rand.New(rand.NewPCG(seed, 1)).NormFloat64()
		if secret {
			n++ // one deviation
		}
		return n
	}
	if err := Alike(runs, counter); err == nil {
		t.Error("a count that is larger by its deviation is not found")
	}
	for i := range uint64(400) {
		same := func(_ bool, seed uint64) float64 { return float64(rand.New(rand.NewPCG(seed, i)).IntN(10)) }
		if err := Alike(runs, same); err != nil {
			t.Errorf("comparison %d of the same: %v", i, err)
		}
	}
	if err := Alike(minRuns-1, counter); err == nil {
		t.Error("few runs are enough")
	}
}

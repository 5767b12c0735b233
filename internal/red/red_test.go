package red

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestFull: below three quarters there is room, at the limit there is none, and
// between them the chance rises evenly. Six deviations are exceeded once in 10^9
// times.
func TestFull(t *testing.T) {
	const tries = 20000
	random := rand.New(rand.NewPCG(1, 2)).Uint64
	for _, limit := range []int{1, 2, 3, 4, 7, 16, 1000, 1 << 28} {
		for eighth := range 12 {
			n := limit * eighth / 8
			full := 0
			for range tries {
				if Full(n, limit, random) {
					full++
				}
			}
			spread := limit / 4
			want := 1.0
			if n < limit {
				want = max(0, float64(n-(limit-spread))/float64(max(1, spread)))
			}
			if got := float64(full) / tries; math.Abs(got-want) > 6*math.Sqrt(want*(1-want)/tries) {
				t.Errorf("%d of %d: full with a chance of %.3f, want %.3f", n, limit, got, want)
			}
		}
	}
}

package link

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestFlight compares the heap with a stable sort.
func TestFlight(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var f flight
	var want []departure
	for i := range 2000 {
		at := time.Duration(random.IntN(500))
		f.push(at, numbered(i, 60))
		want = append(want, departure{i, at})
		if random.IntN(3) > 0 {
			continue
		}
		slices.SortStableFunc(want, func(a, b departure) int { return int(a.at - b.at) })
		if at := f.frames[0].at; at != want[0].at {
			t.Fatalf("the top is due at %v, want %v", at, want[0].at)
		}
		b := f.pop()
		if n := numberOf(b); n != want[0].number {
			t.Fatalf("popped %d, want %d", n, want[0].number)
		}
		b.Release()
		want = want[1:]
	}
	slices.SortStableFunc(want, func(a, b departure) int { return int(a.at - b.at) })
	for _, w := range want {
		b := f.pop()
		if n := numberOf(b); n != w.number {
			t.Fatalf("popped %d, want %d", n, w.number)
		}
		b.Release()
	}
	if f.len() != 0 {
		t.Errorf("%d frames are left", f.len())
	}
}

// TestLineRate shows that the rate is exact over any time, whatever the
// rounding of one frame.
func TestLineRate(t *testing.T) {
	for _, rate := range []int64{1, 9600, 999_983, 10_000_019, 3_000_000_007} {
		l := line{rate: rate}
		random, bits := rand.New(rand.NewPCG(1, 2)), int64(0)
		for range 5000 {
			n := 60 + random.IntN(1455)
			bits += int64(n) * 8
			at := l.send(0, n)
			// bits·10⁹/rate, in steps that do not overflow
			want := time.Duration(bits/rate)*time.Second + time.Duration(bits%rate*int64(time.Second)/rate)
			if at != want {
				t.Fatalf("rate %d: after %d bits at %d; want %d", rate, bits, at, want)
			}
		}
	}
}

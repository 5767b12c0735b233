package shuffle

import (
	"math"
	"math/rand/v2"
	"testing"
)

func seeded(n uint64) func() uint64 { return rand.New(rand.NewPCG(n, 1)).Uint64 }

// No number comes again before so many others, and all of them come.
func TestApart(t *testing.T) {
	for _, test := range []struct{ count, apart int }{{1, 0}, {2, 1}, {5, 0}, {5, 4}, {100, 50}, {1 << 16, 1 << 15}} {
		for _, random := range []func() uint64{seeded(1), func() uint64 { return 0 }, func() uint64 { return math.MaxUint64 }} {
			s := New(test.count, test.apart, random)
			last := map[uint16]int{}
			for i := range 20 * test.count {
				v := s.Next()
				if int(v) >= test.count {
					t.Fatalf("%+v: %d", test, v)
				}
				if before, ok := last[v]; ok && i-before <= test.apart {
					t.Fatalf("%+v: %d comes again after %d others", test, v, i-before-1)
				}
				last[v] = i
			}
		}
		s, seen := New(test.count, test.apart, seeded(2)), map[uint16]bool{}
		for range 40 * test.count {
			seen[s.Next()] = true
		}
		if len(seen) != test.count {
			t.Errorf("%+v: only %d came", test, len(seen))
		}
	}
}

// chi is Pearson's statistic of counts that should all be the same, as a number
// of standard deviations from its mean (Wilson and Hilferty): beyond 6 once in
// a thousand million tries.
func chi(counts []int) float64 {
	total := 0
	for _, n := range counts {
		total += n
	}
	want := float64(total) / float64(len(counts))
	x := 0.0
	for _, n := range counts {
		x += (float64(n) - want) * (float64(n) - want) / want
	}
	k := float64(len(counts) - 1)
	return (math.Cbrt(x/k) - (1 - 2/(9*k))) / math.Sqrt(2/(9*k))
}

// What comes next is any of the numbers that may, whatever came before: the first
// number of fresh ones, and the step from one to the next, are spread evenly, and
// the number of draws in between cannot be seen.
func TestGuess(t *testing.T) {
	const count, apart, tries, bins = 32768, 4096, 20000, 64
	for _, between := range []int{0, 1, 100} {
		first, step := make([]int, bins), make([]int, bins)
		s := New(count, apart, seeded(uint64(between)))
		before := s.Next()
		for range tries {
			for range between {
				s.Next()
			}
			v := s.Next()
			first[int(v)*bins/count]++
			step[int(v-before)%count*bins/count]++
			before = v
		}
		if x, y := chi(first), chi(step); math.Abs(x) > 6 || math.Abs(y) > 6 {
			t.Errorf("with %d draws in between: values %.1f, steps %.1f standard deviations off", between, x, y)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	s := New(1<<16, 1<<15, rand.NewChaCha8([32]byte{}).Uint64)
	s.Next()
	for b.Loop() {
		s.Next()
	}
}

package icmp

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func host(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, byte(i >> 16), byte(i >> 8), byte(i)})
}

// RFC1812-4.3.2.8: the rate of errors is limited, to one host and to all.
func TestLimit(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		name           string
		rate, burst    int
		hosts          int // who cause errors
		each           int // how many a second each
		least, most    int // errors a second that are sent
		leastTo, atAll int // to one host in a period of a second
	}{
		{"one host", 0, 0, 1, 1000, 7, 19, 9, 13},
		{"a few errors", 0, 0, 100, 5, 480, 500, 5, 5},
		{"many hosts", 0, 0, 1900, 3, 800, 1200, 0, 3},
		{"a flood from everywhere", 0, 0, 50000, 1, 800, 1200, 0, 1},
		{"other values", 100, 3, 1000, 10, 70, 140, 0, 4},
		{"no limit", -1, 0, 1, 5000, 5000, 5000, 5000, 5000},
	} {
		l := newLimiter(test.rate, test.burst, random.Uint64)
		now := time.Unix(1000, 0)
		var sent int
		const warm, seconds = 3, 10
		for second := range warm + seconds {
			for i := range test.hosts * test.each {
				now = now.Add(time.Second / time.Duration(test.hosts*test.each))
				if l.allow(now, host(i%test.hosts)) && second >= warm {
					sent++
				}
			}
		}
		if a := sent / seconds; a < test.least || a > test.most {
			t.Errorf("%s: %d errors a second", test.name, a)
		}
		l = newLimiter(test.rate, test.burst, random.Uint64)
		got := 0
		for range test.each {
			if l.allow(now, host(1)) {
				got++
			}
		}
		if got < test.leastTo || got > max(test.atAll, test.each*(1-min(1, test.hosts-1))) && got > test.atAll {
			t.Errorf("%s: one host gets %d at once", test.name, got)
		}
	}
}

// Somebody who forges datagrams from other hosts, some to a closed port and some
// perhaps not, and then causes an error of his own, learns nothing by whether he
// gets it: the SAD DNS attack. The difference of the chances is at most one part
// in a thousand, and here no more than what tries of that number show by chance:
// six standard deviations are exceeded once in 10^9 runs.
func TestErrorsTellNothing(t *testing.T) {
	const tries = 2000
	for _, test := range []struct {
		name    string
		forged  int // datagrams
		sources int // that they seem to come from
		own     int // errors that the attacker has had before, of his own
	}{
		{"from one host", 50, 1, 0},
		{"from one host, his own budget nearly used up", 50, 1, 9},
		{"each from another", 50, 50, 0},
		{"to the edge of all", 999, 999, 0},
		{"just beyond it", 1000, 1000, 0},
		{"far beyond it", 2000, 2000, 0},
	} {
		random := rand.New(rand.NewPCG(uint64(test.forged), uint64(test.sources)))
		var answered [2]float64
		for open := range 2 {
			for range tries {
				l := newLimiter(0, 0, random.Uint64)
				now := time.Unix(1000, 0)
				for range test.own {
					l.allow(now, host(1<<20))
				}
				for i := range test.forged - open { // an open port sends no error
					l.allow(now, host(i%test.sources))
				}
				if l.allow(now, host(1<<20)) {
					answered[open]++
				}
			}
		}
		p := (answered[0] + answered[1]) / (2 * tries)
		deviation := math.Sqrt(2 * p * (1 - p) / tries)
		if d := math.Abs(answered[0]-answered[1]) / tries; d > 6*deviation+0.002 {
			t.Errorf("%s: he gets his error with a chance of %.3f when all ports are closed, and %.3f when one is open",
				test.name, answered[0]/tries, answered[1]/tries)
		}
	}
}

// Nor does somebody with many addresses, who counts how much is left of all their
// budgets.
func TestBudgetsTellNothing(t *testing.T) {
	const addresses, tries = 256, 400
	random := rand.New(rand.NewPCG(5, 6))
	var sum, squares [2]float64
	for open := range 2 {
		for range tries {
			l := newLimiter(-1+1, 0, random.Uint64)
			l.rate = 1e9 // the limit to all is not looked at here
			now := time.Unix(1000, 0)
			if open == 0 {
				l.allow(now, host(0)) // the forged one
			}
			left := 0.0
			for i := range addresses {
				for l.allow(now, host(1+i)) {
					left++
				}
			}
			sum[open] += left
			squares[open] += left * left
		}
	}
	variance := func(i int) float64 { return squares[i]/tries - sum[i]/tries*sum[i]/tries }
	deviation := math.Sqrt((variance(0) + variance(1)) / tries)
	if d := math.Abs(sum[0]-sum[1]) / tries; d > 6*deviation {
		t.Errorf("%d addresses get %.2f errors less, of %.2f standard deviations", addresses, d, d/deviation)
	}
	if one := math.Sqrt(variance(0)); one < 5 {
		t.Errorf("what is left of %d budgets varies by %.1f errors only: one of somebody else's could be seen", addresses, one)
	}
}

func BenchmarkLimit(b *testing.B) {
	l := newLimiter(0, 0, rand.NewChaCha8([32]byte{}).Uint64)
	now := time.Now()
	for i := 0; b.Loop(); i++ {
		l.allow(now, host(i&0xffff))
	}
}

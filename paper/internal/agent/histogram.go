package agent

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// A Histogram counts durations. Each octave has 128 classes, so that what it
// says of a quantile is off by less than half a percent; and it takes the same
// memory however many there are.
type Histogram struct {
	counts [classes]atomic.Uint64
}

const (
	fine    = 7         // bits of a duration that matter
	longest = 40        // bits of the longest duration that is told from longer ones: 18 minutes
	perBit  = 1 << fine // classes of an octave
	classes = (longest - fine + 1) * perBit
)

// Record counts d. Any goroutine may call it.
func (h *Histogram) Record(d time.Duration) { h.counts[class(d)].Add(1) }

// class is the class of a duration: the durations below perBit nanoseconds
// have one each, and the octaves follow.
func class(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < perBit {
		return int(v)
	}
	shift := bits.Len64(v) - fine - 1
	return min((shift+1)<<fine|int(v>>shift)&(perBit-1), classes-1)
}

// middle is a duration in the middle of a class.
func middle(class int) time.Duration {
	if class < perBit {
		return time.Duration(class)
	}
	shift := class>>fine - 1
	least := uint64(perBit|class&(perBit-1)) << shift
	return time.Duration(least + uint64(1)<<shift/2)
}

// Counts is a Histogram at one moment: how many durations each class has,
// without those that have none.
type Counts map[int]uint64

// Counts returns what has been counted.
func (h *Histogram) Counts() Counts {
	c := make(Counts)
	for i := range h.counts {
		if n := h.counts[i].Load(); n > 0 {
			c[i] = n
		}
	}
	return c
}

// Since is what has been counted after an earlier moment.
func (c Counts) Since(before Counts) Counts {
	d := make(Counts)
	for i, n := range c {
		if n > before[i] {
			d[i] = n - before[i]
		}
	}
	return d
}

// Add adds what others have counted.
func (c Counts) Add(others Counts) {
	for i, n := range others {
		c[i] += n
	}
}

// Len is how many durations were counted.
func (c Counts) Len() (n uint64) {
	for _, m := range c {
		n += m
	}
	return n
}

// Quantile is the duration that the part q of all does not exceed; 0 when
// there is none.
func (c Counts) Quantile(q float64) time.Duration {
	var order []int
	for i := range c {
		order = append(order, i)
	}
	slices.Sort(order)
	if len(order) == 0 {
		return 0
	}
	rank := uint64(q * float64(c.Len()))
	for _, i := range order {
		if c[i] > rank {
			return middle(i)
		}
		rank -= c[i]
	}
	return middle(order[len(order)-1])
}

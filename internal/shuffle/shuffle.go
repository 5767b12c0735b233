// Package shuffle draws unpredictable numbers, of which none is repeated soon:
// ephemeral ports (RFC 6056) and identifications (RFC 7739).
package shuffle

import "math/bits"

// A Shuffle draws numbers from 0 on. Each is chosen with equal probability from all
// but the most recent ones. So an observer of some of the numbers learns nothing
// about the others, not even how many there were, and a number is not used again
// while its last use may still be in progress.
type Shuffle struct {
	random func() uint64
	count  int
	apart  int

	// values has all numbers, from the first draw on: in a ring that begins at next,
	// the last apart are the most recently drawn ones, oldest first, and the others
	// are available.
	values []uint16
	next   int
}

// New returns a Shuffle of the numbers from 0 to count-1, at most 65536, of which
// none comes again before apart others. Random returns 64 random bits.
func New(count, apart int, random func() uint64) *Shuffle {
	return &Shuffle{random: random, count: count, apart: apart}
}

// Next draws a number.
func (s *Shuffle) Next() uint16 {
	if s.values == nil {
		s.fill()
	}
	drawn := s.next + s.below(s.count-s.apart)
	if drawn >= s.count {
		drawn -= s.count
	}
	v := s.values[drawn]
	s.values[drawn], s.values[s.next] = s.values[s.next], v
	if s.next++; s.next == s.count {
		s.next = 0
	}
	return v
}

// fill makes the ring, in an order of chance: those at its end do not come
// among the first.
func (s *Shuffle) fill() {
	s.values = make([]uint16, s.count)
	for i := range s.values {
		j := s.below(i + 1)
		s.values[i], s.values[j] = s.values[j], uint16(i)
	}
}

// below is a random number from 0 to n-1.
func (s *Shuffle) below(n int) int {
	high, _ := bits.Mul64(s.random(), uint64(n))
	return int(high)
}

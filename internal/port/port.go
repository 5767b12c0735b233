// Package port chooses ephemeral ports.
package port

import "github.com/seed-012105e5/gonet/internal/shuffle"

// First and Last bound the ephemeral ports. RFC 6056 section 3.2 wants many, so
// that they are hard to guess: these are twice those of RFC 6335 section 6, and
// leave the lower half to servers.
const (
	First = 32768
	Last  = 65535
	count = Last - First + 1
)

const (
	apart = 4096 // ports that are chosen before one comes again: the peer may remember the connection that had it
	tries = 64   // ports that are drawn, before all are looked at in turn
)

// A Chooser chooses ephemeral ports at random (RFC 6056 section 3.3.2): who
// sees some of them can guess none of the others, nor how many there were.
type Chooser struct {
	random func() uint64
	ports  *shuffle.Shuffle
}

// NewChooser returns a Chooser. Random returns 64 random bits.
func NewChooser(random func() uint64) *Chooser {
	return &Chooser{random, shuffle.New(count, apart, random)}
}

// Choose returns a port which is not taken; false when all are.
func (c *Chooser) Choose(taken func(uint16) bool) (uint16, bool) {
	for range tries {
		if p := First + c.ports.Next(); !taken(p) {
			return p, true
		}
	}
	// Nearly all are taken. An odd stride meets all numbers of a power of two.
	random := c.random()
	start, stride := uint16(random), uint16(random>>16)|1
	for i := range uint16(count) {
		if p := First + (start+i*stride)%count; !taken(p) {
			return p, true
		}
	}
	return 0, false
}

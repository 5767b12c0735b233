// Package port chooses ephemeral ports.
package port

import "net/netip"

// First and Last bound the ephemeral ports: the dynamic range of RFC 6335
// section 6.
const (
	First = 49152
	Last  = 65535
	count = Last - First + 1
)

// A Chooser chooses ephemeral ports by the hash-based algorithm of RFC 6056
// section 3.3.3: hard to guess from outside, and late to repeat for one peer.
type Chooser struct {
	hash func(local netip.Addr, remote netip.AddrPort) uint64
	next uint32
}

// NewChooser returns a Chooser around hash, which must be keyed with a secret:
// it is the function F of the RFC. Start is where the ports begin, a random
// number.
func NewChooser(start uint32, hash func(local netip.Addr, remote netip.AddrPort) uint64) *Chooser {
	return &Chooser{hash: hash, next: start % count}
}

// Choose returns a port which is not taken, for a flow from local to remote;
// false when all are taken. Remote is the zero AddrPort for a socket that is
// not connected.
func (c *Chooser) Choose(local netip.Addr, remote netip.AddrPort, taken func(uint16) bool) (uint16, bool) {
	offset := uint32(c.hash(local, remote) % count)
	for range count {
		p := uint16(First + (c.next+offset)%count)
		c.next = (c.next + 1) % count
		if !taken(p) {
			return p, true
		}
	}
	return 0, false
}

// draws is how many random ports Random tries before it takes the next free one.
const draws = 64

// Random returns a port which is not taken, by RFC 6056 section 3.3.2 (another
// simple port randomization): that of one flow says nothing of the next, as
// RFC 5452 section 9.2 wants it of those who ask questions by UDP. It may repeat
// soon, which only TCP with its TIME-WAIT minds. False when all are taken.
func Random(random func() uint64, taken func(uint16) bool) (uint16, bool) {
	var offset uint64
	for range draws {
		offset = random() % count
		if p := uint16(First + offset); !taken(p) {
			return p, true
		}
	}
	for i := range uint64(count) { // few are free
		if p := uint16(First + (offset+i)%count); !taken(p) {
			return p, true
		}
	}
	return 0, false
}

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

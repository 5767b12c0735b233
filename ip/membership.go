package ip

import "net/netip"

// A Membership asks IP to join or to leave a multicast group on a link. Joins are
// counted, and the group is left when all who joined have left.
type Membership struct {
	Link  int // index of the interface; -1 is the one that Lookup names
	Group netip.Addr
	Join  bool

	// Done gets the answer when the change holds, and has room for one; it may be
	// nil. The errors are EINVAL (not a group), ENODEV (no such link), ENOBUFS (too
	// many groups) and EADDRNOTAVAIL (leaving what was not joined).
	Done chan<- error
}

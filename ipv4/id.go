package ipv4

import "github.com/seed-012105e5/gonet/internal/shuffle"

// apartIDs is how many identifications are given before one comes again.
const apartIDs = 1 << 15

// newIDs gives out identifications for datagrams that may be fragmented. Those
// that may not, the atomic datagrams, need none (RFC 6864 section 4.1).
//
// An identification should not come again while fragments can be about (RFC 6864
// section 4.3), nobody should guess it from those that others get, or plant a
// fragment, and nobody should see by it how many others there were (RFC 7739
// section 3). Counters, even one for each of many groups of destinations, tell
// that to whoever has an address in the group. So all are drawn from one
// shuffle: each is any of those that were not among the last 32768.
func newIDs(random func() uint64) *shuffle.Shuffle { return shuffle.New(1<<16, apartIDs, random) }

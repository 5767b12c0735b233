package ipv4

import (
	"encoding/binary"
	"math/bits"
)

// idBuckets is how many counters there are; flows share them.
const idBuckets = 1024

// ids gives out identifications for datagrams that may be fragmented. Those
// that may not, the atomic datagrams, need none (RFC 6864 section 4.1).
//
// An identification may not come again for the same source, destination and
// protocol while fragments can be about (RFC 6864 section 4.3), and nobody
// should guess it from those that others get. So it is, like RFC 6056's
// ports, a secret function of the three plus a counter that starts at
// random and serves only some of the flows (RFC 7739 section 5.3).
type ids struct {
	counters [idBuckets]uint16
	key      [2]uint64
}

func newIDs(random func() uint64) *ids {
	s := &ids{key: [2]uint64{random(), random() | 1}}
	for i := 0; i < idBuckets; i += 4 {
		r := random()
		for j := range 4 {
			s.counters[i+j] = uint16(r >> (16 * j))
		}
	}
	return s
}

// next takes n identifications in a row for datagrams like h, and returns the
// first.
func (s *ids) next(h Header, n int) uint16 {
	hash := s.hash(binary.BigEndian.Uint64(h[12:]), h.Protocol())
	c := &s.counters[hash%idBuckets]
	first := *c + uint16(hash>>48)
	*c += uint16(n)
	return first
}

// hash mixes both addresses and the protocol with the key, by multiplying to
// 128 bits and folding, twice.
func (s *ids) hash(addrs uint64, protocol uint8) uint64 {
	hi, lo := bits.Mul64(addrs^s.key[0], s.key[1])
	hi, lo = bits.Mul64(hi^lo^uint64(protocol), s.key[0]|1)
	return hi ^ lo
}

package ipv4

import (
	"testing"

	"github.com/seed-012105e5/gonet/packet"
)

func idHeader(src, dst string, protocol uint8) *packet.Buffer {
	return built(Fields{Protocol: protocol, Src: ip(src), Dst: ip(dst)}, nil)
}

// RFC 6864 section 4.3: for one source, destination and protocol the
// identifications of 65536 datagrams in a row are unique.
func TestIDsAreUnique(t *testing.T) {
	b := idHeader("10.0.0.2", "10.0.0.9", ProtocolUDP)
	defer b.Release()
	s := newIDs(seeded())
	seen := map[uint16]bool{}
	for range 1 << 16 {
		id := s.next(Header(b.Bytes()), 1)
		if seen[id] {
			t.Fatalf("%d comes twice after %d", id, len(seen))
		}
		seen[id] = true
	}
}

// A train takes as many as it has segments.
func TestIDsOfTrain(t *testing.T) {
	b := idHeader("10.0.0.2", "10.0.0.9", ProtocolTCP)
	defer b.Release()
	s := newIDs(seeded())
	first := s.next(Header(b.Bytes()), 44)
	if next := s.next(Header(b.Bytes()), 1); next != first+44 {
		t.Errorf("%d after a train of 44 from %d", next, first)
	}
}

// RFC 7739 section 3: what one flow gets says nothing about another's, or
// about another host's.
func TestIDsCannotBeGuessed(t *testing.T) {
	flows := []*packet.Buffer{
		idHeader("10.0.0.2", "10.0.0.9", ProtocolUDP), idHeader("10.0.0.2", "10.0.0.8", ProtocolUDP),
		idHeader("10.0.0.3", "10.0.0.9", ProtocolUDP), idHeader("10.0.0.2", "10.0.0.9", ProtocolTCP),
	}
	random := seeded()
	gaps := map[uint16]int{}
	for range 64 {
		s := newIDs(random)
		base := s.next(Header(flows[0].Bytes()), 1)
		for _, b := range flows[1:] {
			gaps[s.next(Header(b.Bytes()), 1)-base]++
		}
	}
	if len(gaps) < 3*64-4 {
		t.Errorf("%d different gaps between flows on 64 hosts; they follow from each other", len(gaps))
	}
	for _, b := range flows {
		b.Release()
	}
}

func BenchmarkID(b *testing.B) {
	p := idHeader("10.0.0.2", "10.0.0.9", ProtocolUDP)
	defer p.Release()
	s := newIDs(seeded())
	b.ReportAllocs()
	for b.Loop() {
		s.next(Header(p.Bytes()), 1)
	}
}

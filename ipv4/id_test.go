package ipv4

import (
	"math"
	"testing"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// idOf sends a datagram from 10.0.0.2, and returns its identification.
func idOf(t *testing.T, x *transmitter, dst string, protocol uint8) uint16 {
	t.Helper()
	var id uint16
	x.hand = func(_ int, b *packet.Buffer) {
		id = Header(b.Bytes()).ID()
		b.Release()
	}
	x.send(built(Fields{Protocol: protocol, Src: addr("10.0.0.2"), Dst: addr(dst)}, nil))
	return id
}

// RFC 6864 section 4.3, RFC 7739 section 3: no identification comes again soon,
// and what a peer gets says nothing of what others got, of the next one, or of
// how many there were in between: the step from one datagram to the next of the
// same peer is spread evenly, whatever goes to others. Pearson's statistic of 31
// degrees of freedom is over 105 once in 10^9 runs.
func TestIDsTellNothing(t *testing.T) {
	for _, others := range []int{0, 1, 7} {
		x := newTransmitter(edge.Out[*packet.Buffer]{}, edge.Out[*packet.Buffer]{}, nil, edge.Out[ip.ErrorRequest]{}, TxConfig{Table: twoLinks(t), Random: seeded()}, &Stats{})
		last := map[uint16]int{}
		count, before := 0, uint16(0)
		next := func(dst string, protocol uint8) uint16 {
			id := idOf(t, x, dst, protocol)
			if at, ok := last[id]; ok && count-at <= apartIDs {
				t.Fatalf("%d comes again after %d", id, count-at)
			}
			last[id] = count
			count++
			return id
		}
		var steps [32]float64
		const tries = 20000
		for range tries {
			for range others {
				next("10.0.0.8", ip.ProtocolUDP)
			}
			id := next("10.0.0.9", ip.ProtocolICMP)
			steps[(id-before)>>11]++
			before = id
		}
		x2 := 0.0
		for _, n := range steps {
			x2 += math.Pow(n-tries/32, 2) / (tries / 32)
		}
		if x2 > 105 {
			t.Errorf("with %d datagrams to others in between, the steps are %v", others, steps)
		}
	}
}

// RFC 6864 section 4.1: datagrams that may not be fragmented have none.
func TestAtomicHasNoID(t *testing.T) {
	x := newTransmitter(edge.Out[*packet.Buffer]{}, edge.Out[*packet.Buffer]{}, nil, edge.Out[ip.ErrorRequest]{}, TxConfig{Table: twoLinks(t), Random: seeded()}, &Stats{})
	x.hand = func(_ int, b *packet.Buffer) {
		if id := Header(b.Bytes()).ID(); id != 0 {
			t.Errorf("identification %d", id)
		}
		b.Release()
	}
	x.send(built(Fields{Protocol: ip.ProtocolTCP, DF: true, Src: addr("10.0.0.2"), Dst: addr("10.0.0.9")}, nil))
}

package machine

import (
	"math/rand/v2"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestWindowField: SHLD-14, MUST-39: whatever arrives and is read, the right edge that
// the peer sees does not move left by more than the scale cuts off, and what
// is promised and unread together stays near the limit.
func TestWindowField(t *testing.T) {
	for _, limit := range []int{400, 5000, 65535, 100000, 1 << 24} {
		for _, most := range []int{1, 100, 1460, 20000} {
			testWindowField(t, limit, most)
		}
	}
}

// testWindowField has up to most bytes arrive at a time.
func testWindowField(t *testing.T, limit, most int) {
	tcptest.LeakCheck(t)
	rnd := rand.New(rand.NewPCG(uint64(limit), uint64(most)))
	n := newNode(Config{ReceiveBuffer: limit}, tcptest.ISS)
	n.open()
	defer n.end()
	n.pump()
	n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS, Ack: tcptest.ISS + 1, Flags: segment.SYN | segment.ACK, Window: 1000, Opts: segment.Options{MSS: 1460, HasScale: true}})
	n.pump()
	n.sent = nil
	m := n.t
	edge := m.rcv.nxt.Add(min(limit, 65535))
	p := make([]byte, 3*most)
	for i := range 200 {
		room := edge.Sub(m.rcv.nxt)
		if k := min(room, 1+rnd.IntN(most)); k > 0 {
			n.arrives(n.flow, segment.Segment{Seq: m.rcv.nxt, Ack: m.snd.nxt, Flags: segment.ACK, Window: 1000, Text: tcptest.Piece(0, k, 0), Len: k})
		}
		if i%100 > 50 { // a reader that comes and goes
			if _, err := m.Read(p[:rnd.IntN(len(p))+1]); err != nil {
				t.Fatal(err)
			}
		}
		n.pump()
		for _, s := range n.sent {
			right := s.Ack.Add(int(s.Window) << m.rcv.scale)
			if d := edge.Sub(right); d > 1<<m.rcv.scale-1 {
				t.Fatalf("step %d: limit %d, %d at a time: the right edge moves left by %d, by %v", i, limit, most, d, &s.Segment)
			}
			edge = segment.Later(edge, right)
		}
		n.sent = nil
		if n.err != nil {
			t.Fatalf("limit %d, %d at a time: %v", limit, most, n.err)
		}
	}
}

// TestWindowOfTinySegments: RFC7323-2.4: rounding up to the scale, with each of many tiny
// segments, does not promise the buffer twice.
func TestWindowOfTinySegments(t *testing.T) {
	const limit = 1 << 18
	n := established(t, Config{ReceiveBuffer: limit}, segment.Options{MSS: 1460, HasScale: true}, 65535)
	m := n.t
	edge := m.rcv.edge
	for edge.Sub(m.rcv.nxt) >= 20 {
		m.segmentArrives(n.now, &segment.Segment{Seq: m.rcv.nxt, Ack: m.snd.nxt, Flags: segment.ACK, Window: 1000, Text: tcptest.Piece(0, 20, 0), Len: 20})
		var s segment.Segment
		m.makeSegment(n.now, &s, m.snd.nxt, 0)
		m.sent(n.now, &s)
		right := s.Ack.Add(int(s.Window) << m.rcv.scale)
		if d := edge.Sub(right); d > 1<<m.rcv.scale-1 {
			t.Fatalf("the right edge moves left by %d", d)
		}
		edge = segment.Later(edge, right)
		if err := checkInvariants(m); err != nil {
			t.Fatal(err)
		}
		if m.recvq.readyLen > 3*limit {
			t.Fatalf("%d bytes are taken", m.recvq.readyLen)
		}
	}
}

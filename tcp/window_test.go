package tcp

import (
	"math/rand/v2"
	"testing"
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
	leakCheck(t)
	rnd := rand.New(rand.NewPCG(uint64(limit), uint64(most)))
	n := newNode(Config{ReceiveBuffer: limit}, testISS)
	n.open()
	defer n.end()
	n.pump()
	n.arrives(n.flow, segment{seq: testIRS, ack: testISS + 1, flags: SYN | ACK, window: 1000, opts: options{mss: 1460, hasScale: true}})
	n.pump()
	n.sent = nil
	m := n.t
	edge := m.rcv.nxt.add(min(limit, 65535))
	p := make([]byte, 3*most)
	for i := range 200 {
		room := edge.sub(m.rcv.nxt)
		if k := min(room, 1+rnd.IntN(most)); k > 0 {
			n.arrives(n.flow, segment{seq: m.rcv.nxt, ack: m.snd.nxt, flags: ACK, window: 1000, text: piece(0, k, 0), len: k})
		}
		if i%100 > 50 { // a reader that comes and goes
			if _, err := m.read(p[:rnd.IntN(len(p))+1]); err != nil {
				t.Fatal(err)
			}
		}
		n.pump()
		for _, s := range n.sent {
			right := s.ack.add(int(s.window) << m.rcv.scale)
			if d := edge.sub(right); d > 1<<m.rcv.scale-1 {
				t.Fatalf("step %d: limit %d, %d at a time: the right edge moves left by %d, by %v", i, limit, most, d, &s.segment)
			}
			edge = later(edge, right)
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
	n := established(t, Config{ReceiveBuffer: limit}, options{mss: 1460, hasScale: true}, 65535)
	m := n.t
	edge := m.rcv.edge
	for edge.sub(m.rcv.nxt) >= 20 {
		m.segmentArrives(n.now, &segment{seq: m.rcv.nxt, ack: m.snd.nxt, flags: ACK, window: 1000, text: piece(0, 20, 0), len: 20})
		var s segment
		m.makeSegment(n.now, &s, m.snd.nxt, 0)
		m.sent(n.now, &s)
		right := s.ack.add(int(s.window) << m.rcv.scale)
		if d := edge.sub(right); d > 1<<m.rcv.scale-1 {
			t.Fatalf("the right edge moves left by %d", d)
		}
		edge = later(edge, right)
		if err := checkInvariants(m); err != nil {
			t.Fatal(err)
		}
		if m.recvq.readyLen > 3*limit {
			t.Fatalf("%d bytes are taken", m.recvq.readyLen)
		}
	}
}

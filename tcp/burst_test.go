package tcp

import (
	"testing"
	"time"
)

// Segments that are taken in a burst, with no chance to send between them
// (MUST-58, MUST-59).

// tenOut is a node with ten segments of 1000 bytes in the network, and what
// the peer then sends.
func tenOut(t *testing.T) (n *node, una seq, ack func(ack int, sacked ...int)) {
	n = established(t, Config{Congestion: "reno"}, options{mss: 1000, sackPermitted: true}, 65535)
	if _, err := n.t.write(n.now, make([]byte, 30_000)); err != nil {
		t.Fatal(err)
	}
	n.pump()
	una = n.t.snd.una
	if n.t.board.total != 10_000 {
		t.Fatalf("%d bytes out", n.t.board.total)
	}
	n.advance(n.now.Add(100 * time.Millisecond))
	return n, una, func(ack int, sacked ...int) {
		s := segment{seq: n.t.rcv.nxt, ack: una.add(ack), flags: ACK, window: 65535}
		if len(sacked) > 0 {
			s.opts.sack[0], s.opts.sacks = block{una.add(sacked[0]), una.add(sacked[1])}, 1
		}
		n.arrives(n.flow, s)
	}
}

// TestFlightSizeBeforeBurst: RFC5681-3.1: what acknowledgements have freed of
// the window just before a loss shows is part of FlightSize: nothing could be
// sent in its place.
func TestFlightSizeBeforeBurst(t *testing.T) {
	n, _, ack := tenOut(t)
	ack(4000)
	ack(4000, 5000, 6000)
	ack(4000, 5000, 7000)
	ack(4000, 5000, 8000)
	if i := n.t.info(); i.SlowStartThresh != 5000 {
		t.Errorf("ssthresh %d with 10000 bytes out, want half of it", i.SlowStartThresh)
	}
}

// TestWindowGrowsInBurst: RFC5681-3.1: all acknowledgements of a burst open a
// window that was in use, not only those of its first half.
func TestWindowGrowsInBurst(t *testing.T) {
	n, _, ack := tenOut(t)
	for i := range 10 {
		ack(1000 * (i + 1))
	}
	if i := n.t.info(); i.CongestionWindow != 20_000 {
		t.Errorf("cwnd %d after a round of slow start from 10000", i.CongestionWindow)
	}
}

// TestUndoWithoutRetransmission: RFC4015-3.4: what was deemed lost, and comes
// before it was sent again, was not lost: the reduction is taken back.
func TestUndoWithoutRetransmission(t *testing.T) {
	n, _, ack := tenOut(t)
	before := n.t.info()
	ack(0, 1000, 5000)
	if i := n.t.info(); i.SlowStartThresh != 5000 {
		t.Fatalf("ssthresh %d", i.SlowStartThresh)
	}
	ack(5000)
	if i := n.t.info(); i.SlowStartThresh != before.SlowStartThresh || i.CongestionWindow < before.CongestionWindow || i.Recovering {
		t.Errorf("ssthresh %d, cwnd %d, recovering %v", i.SlowStartThresh, i.CongestionWindow, i.Recovering)
	}
}

// textInBurst has segments of 1000 bytes arrive, of which the first begins
// after from bytes of the peer's text, and returns the one answer.
func textInBurst(t *testing.T, n *node, from, segments int) *wireSegment {
	t.Helper()
	n.sent = nil
	for range segments {
		n.arrives(n.flow, segment{seq: testIRS.add(1 + from), ack: n.t.snd.nxt, flags: ACK, window: 65535,
			text: piece(from, from+1000, 0), len: 1000})
		from += 1000
	}
	n.pump()
	if len(n.sent) != 1 || n.err != nil {
		t.Fatalf("%d answers, %v", len(n.sent), n.err)
	}
	return &n.sent[0]
}

// TestTextInBurst: MUST-58, MUST-59: all segments that wait are processed, and
// then one acknowledgement goes out.
func TestTextInBurst(t *testing.T) {
	n := established(t, Config{}, options{mss: 1000}, 65535)
	if s := textInBurst(t, n, 0, 4); s.ack != testIRS.add(4001) {
		t.Errorf("the acknowledgement is %v", &s.segment)
	}
}

// TestDuplicatesInBurst: RFC2883-4, MUST-58: duplicates that come in one burst
// and touch are reported as one run.
func TestDuplicatesInBurst(t *testing.T) {
	n := established(t, Config{}, options{mss: 1000, sackPermitted: true}, 65535)
	if s := textInBurst(t, n, 0, 2); s.opts.sacks != 0 {
		t.Errorf("new text is reported: %v", &s.segment)
	}
	s := textInBurst(t, n, 0, 2)
	if want := (block{testIRS.add(1), testIRS.add(2001)}); s.ack != want.right || s.opts.sacks != 1 || s.opts.sack[0] != want {
		t.Errorf("the answer is %v", &s.segment)
	}
}

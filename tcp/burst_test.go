package tcp

import (
	"testing"
	"time"
)

// Acknowledgements that are taken in a burst, with no chance to send between
// them (MUST-58, MUST-59).

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

// TestUndoWithoutRetransmission: RFC4015-3.2: what was deemed lost, and comes
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

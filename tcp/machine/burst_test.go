package machine

import (
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Segments that are taken in a burst, with no chance to send between them
// (MUST-58, MUST-59).

// tenOut is a node with ten segments of 1000 bytes in the network, and what
// the peer then sends.
func tenOut(t *testing.T) (n *node, una segment.Seq, ack func(ack int, sacked ...int)) {
	n = established(t, Config{Congestion: "reno"}, segment.Options{MSS: 1000, SackPermitted: true}, 65535)
	if _, err := n.t.Write(n.now, make([]byte, 30_000)); err != nil {
		t.Fatal(err)
	}
	n.pump()
	una = n.t.snd.una
	if n.t.board.total != 10_000 {
		t.Fatalf("%d bytes out", n.t.board.total)
	}
	n.advance(n.now.Add(100 * time.Millisecond))
	return n, una, func(ack int, sacked ...int) {
		s := segment.Segment{Seq: n.t.rcv.nxt, Ack: una.Add(ack), Flags: segment.ACK, Window: 65535}
		if len(sacked) > 0 {
			s.Opts.SACK[0], s.Opts.SACKs = segment.Block{Left: una.Add(sacked[0]), Right: una.Add(sacked[1])}, 1
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
	if i := n.t.Info(); i.SlowStartThresh != 5000 {
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
	if i := n.t.Info(); i.CongestionWindow != 20_000 {
		t.Errorf("cwnd %d after a round of slow start from 10000", i.CongestionWindow)
	}
}

// TestUndoWithoutRetransmission: RFC4015-3.4: what was deemed lost, and comes
// before it was sent again, was not lost: the reduction is taken back.
func TestUndoWithoutRetransmission(t *testing.T) {
	n, _, ack := tenOut(t)
	before := n.t.Info()
	ack(0, 1000, 5000)
	if i := n.t.Info(); i.SlowStartThresh != 5000 {
		t.Fatalf("ssthresh %d", i.SlowStartThresh)
	}
	ack(5000)
	if i := n.t.Info(); i.SlowStartThresh != before.SlowStartThresh || i.CongestionWindow < before.CongestionWindow || i.Recovering {
		t.Errorf("ssthresh %d, cwnd %d, recovering %v", i.SlowStartThresh, i.CongestionWindow, i.Recovering)
	}
}

// textInBurst has segments of 1000 bytes arrive, of which the first begins
// after from bytes of the peer's text, and returns the one answer.
func textInBurst(t *testing.T, n *node, from, segments int) *tcptest.WireSegment {
	t.Helper()
	n.sent = nil
	for range segments {
		n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS.Add(1 + from), Ack: n.t.snd.nxt, Flags: segment.ACK, Window: 65535,
			Text: tcptest.Piece(from, from+1000, 0), Len: 1000})
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
	n := established(t, Config{}, segment.Options{MSS: 1000}, 65535)
	if s := textInBurst(t, n, 0, 4); s.Ack != tcptest.IRS.Add(4001) {
		t.Errorf("the acknowledgement is %v", &s.Segment)
	}
}

// TestDuplicatesInBurst: RFC2883-4, MUST-58: duplicates that come in one burst
// and touch are reported as one run.
func TestDuplicatesInBurst(t *testing.T) {
	n := established(t, Config{}, segment.Options{MSS: 1000, SackPermitted: true}, 65535)
	if s := textInBurst(t, n, 0, 2); s.Opts.SACKs != 0 {
		t.Errorf("new text is reported: %v", &s.Segment)
	}
	s := textInBurst(t, n, 0, 2)
	if want := (segment.Block{Left: tcptest.IRS.Add(1), Right: tcptest.IRS.Add(2001)}); s.Ack != want.Right || s.Opts.SACKs != 1 || s.Opts.SACK[0] != want {
		t.Errorf("the answer is %v", &s.Segment)
	}
}

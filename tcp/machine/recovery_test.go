package machine

import (
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestReorderingWindowNarrows: RFC8985-6.2: each recovery without a DSACK, from a
// loss or from a timeout, brings the reordering window nearer to its least.
func TestReorderingWindowNarrows(t *testing.T) {
	n, _, _ := tenOut(t)
	for name, in := range map[string]*recoverInput{
		"fast recovery": {ended: true, left: true},
		"timeout":       {ended: true},
	} {
		n.t.reordering.mult, n.t.reordering.persist = 3, 1
		if new(rack).updateWindow(n.t, in); n.t.reordering.mult != 1 {
			t.Errorf("%s: %d quarters of the least round trip", name, n.t.reordering.mult)
		}
	}
}

// TestDuplicatesOfNothing: RFC9937-6.2: without SACK a peer that sends more
// duplicates than it has had segments does not make us send any faster.
func TestDuplicatesOfNothing(t *testing.T) {
	n := established(t, Config{Congestion: "reno"}, segment.Options{MSS: 1000}, 65535)
	if _, err := n.t.Write(n.now, make([]byte, 60_000)); err != nil {
		t.Fatal(err)
	}
	n.pump()
	una, out := n.t.snd.una, n.t.board.total
	n.advance(n.now.Add(100 * time.Millisecond))
	for range 60 {
		n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: una, Flags: segment.ACK, Window: 65535})
		n.pump()
	}
	if n.t.phase != recovering {
		t.Fatal("no recovery")
	}
	if sent := n.t.snd.nxt.Sub(una); sent > 2*out {
		t.Errorf("%d bytes are out by duplicates of %d", sent, out)
	}
}

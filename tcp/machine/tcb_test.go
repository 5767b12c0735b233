package machine

import (
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// established is a node with a connection to a peer whose SYN has opts.
func established(t *testing.T, cfg Config, opts segment.Options, window uint16) *node {
	t.Helper()
	n := newNode(cfg, tcptest.ISS)
	n.open()
	n.pump()
	n.advance(n.now.Add(100 * time.Millisecond))
	n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS, Ack: tcptest.ISS + 1, Flags: segment.SYN | segment.ACK, Window: window, Opts: opts})
	n.pump()
	n.sent = nil
	if n.state() != Established || n.err != nil {
		t.Fatalf("state %v, %v", n.state(), n.err)
	}
	t.Cleanup(n.end)
	return n
}

// TestRecoverIsNotLeftBehind: RFC6582-3.2, RFC6675-5: the end of the last recovery follows
// SND.UNA, or after 2^31 bytes without a loss it would seem to lie ahead.
func TestRecoverIsNotLeftBehind(t *testing.T) {
	for _, sack := range []bool{false, true} {
		n := established(t, Config{}, segment.Options{MSS: 1460, SackPermitted: sack}, 65535)
		for range 5 {
			if _, err := n.t.Write(n.now, make([]byte, 10000)); err != nil {
				t.Fatal(err)
			}
			n.pump()
			n.advance(n.now.Add(10 * time.Millisecond))
			n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.nxt, Flags: segment.ACK, Window: 65535})
			n.pump()
		}
		if d := n.t.snd.una.Sub(n.t.recover); d != 1 || n.err != nil {
			t.Errorf("SACK %v: recover is %d behind SND.UNA: %v", sack, d, n.err)
		}
	}
}

// TestUrgentIsNotLeftBehind: MUST-33: urgent data that was read long ago does not
// seem to lie ahead after 2^31 bytes.
func TestUrgentIsNotLeftBehind(t *testing.T) {
	n := established(t, Config{}, segment.Options{MSS: 1460}, 65535)
	take := func() {
		n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.nxt, Flags: segment.ACK | segment.URG, Urgent: 5, Window: 65535, Text: tcptest.Piece(0, 100, 0), Len: 100})
	}
	take()
	if u := n.t.Info().Urgent; u != 5 {
		t.Fatalf("%d urgent", u)
	}
	if _, err := n.t.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	n.t.rcv.urgent -= 1<<31 + 1<<20 // as if so much had come since
	if u := n.t.Info().Urgent; u != 0 {
		t.Errorf("%d urgent after it was read", u)
	}
	take()
	if u := n.t.Info().Urgent; u != 5 {
		t.Errorf("%d urgent of new urgent data", u)
	}
}

// TestNoSYNAfterWrap: RFC9293-3.4: text whose number is the ISS, 2^32 bytes
// later, is sent again as text.
func TestNoSYNAfterWrap(t *testing.T) {
	n := established(t, Config{}, segment.Options{MSS: 1460, HasScale: true}, 65535)
	if n.t.snd.nxt != n.t.snd.iss+1 {
		t.Fatal("SND.NXT")
	}
	n.t.snd.iss = n.t.snd.nxt // as if 2^32-1 bytes had been sent
	if _, err := n.t.Write(n.now, []byte("text")); err != nil {
		t.Fatal(err)
	}
	n.pump()
	n.advance(n.now.Add(time.Second))
	for _, s := range n.sent {
		if s.Has(segment.SYN) || string(s.Data) != "text" {
			t.Errorf("sent %v", &s.Segment)
		}
	}
	if len(n.sent) < 2 {
		t.Errorf("%d sent", len(n.sent))
	}
}

// TestAbandonGivesBack: what a user has not read is given back when he aborts, be
// it that the connection has failed before, and still owes the peer its reset.
func TestAbandonGivesBack(t *testing.T) {
	for _, failed := range []bool{false, true} {
		tcptest.LeakCheck(t)
		n := newNode(Config{}, tcptest.ISS)
		n.open()
		n.pump()
		n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS, Ack: tcptest.ISS + 1, Flags: segment.SYN | segment.ACK, Window: 1000})
		n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS + 1, Ack: tcptest.ISS + 1, Flags: segment.ACK, Window: 1000, Text: tcptest.Piece(0, 10, 10), Len: 10})
		n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS + 50, Ack: tcptest.ISS + 1, Flags: segment.ACK, Window: 1000, Text: tcptest.Piece(0, 10, 10), Len: 10})
		if failed {
			n.t.Abort(syscall.ETIMEDOUT)
		}
		n.t.Abandon(nil)
		if !n.t.replies {
			t.Errorf("failed %v: the peer gets no reset", failed)
		}
		if n.t.recvq.readyLen > 0 {
			t.Errorf("failed %v: %d bytes to be read", failed, n.t.recvq.readyLen)
		}
	}
}

// TestSmallSegments: MUST-16, SHLD-28: with SACK blocks to send, the segments of a train
// are shorter by so much, so that each still fits.
func TestSmallSegments(t *testing.T) {
	n := established(t, Config{}, segment.Options{MSS: 1460, SackPermitted: true}, 65535)
	n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt + 100, Ack: n.t.snd.nxt, Flags: segment.ACK, Window: 65535, Text: tcptest.Piece(0, 10, 10), Len: 10})
	if _, err := n.t.Write(n.now, make([]byte, 1460)); err != nil {
		t.Fatal(err)
	}
	n.pump()
	if n.err != nil {
		t.Fatal(n.err)
	}
	if s := n.sent[0]; s.Len != 1460 || s.Opts.SACKs != 1 || s.Train != 1460-12 {
		t.Errorf("sent %v in segments of %d", &s.Segment, s.Train)
	}
}

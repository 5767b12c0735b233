package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// An ECNMode says whether connections use Explicit Congestion Notification
// (RFC 3168): routers mark what they would otherwise drop, the receiver echoes
// the mark, and the sender slows down as for a loss.
type ECNMode uint8

const (
	ECNAccept ECNMode = iota // when the peer asks for it
	ECNAsk                   // ask the peer for it, and accept
	ECNOff                   // neither
)

// ecnState is what a connection knows of ECN. The rules of RFC 3168 section
// 6.1.1 make two questions of it: a host that has once said no may not send
// what can be marked, but must echo the marks of a peer to whom it has once
// said yes.
type ecnState struct {
	sends  bool // what we send may be marked
	echoes bool // marks on what the peer sends are echoed

	echo   bool        // as receiver: ECE goes with every acknowledgement
	cwrDue bool        // as sender: the window was reduced, and the next new text says so
	until  segment.Seq // SND.NXT when it was: what acknowledges less tells of the same congestion

	received  uint64 // bytes of text that came marked
	delivered uint64 // bytes of ours that the peer says met congestion
}

// echoesExactly says whether the echo follows the marks exactly, as RFC 8257
// section 3.2 has it. Both ends must do so; nothing in the protocol tells.
func (t *TCB) echoesExactly() bool {
	_, ok := t.cc.(congestion.Precise)
	return ok
}

// asksForECN says whether our SYN asks. A controller that lives on marks asks
// for them of its own.
func (t *TCB) asksForECN() bool {
	return t.cfg.ECN == ECNAsk || t.cfg.ECN == ECNAccept && t.echoesExactly()
}

// setUpECN puts the flags on our SYN or SYN-ACK. A SYN that was not answered
// is sent again without: there are middleboxes that drop it (RFC 3168 section
// 6.1.1.1).
func (t *TCB) setUpECN(s *segment.Segment) {
	switch {
	case s.Has(segment.ACK):
		if t.ecn.sends {
			s.Flags |= segment.ECE
		}
	case t.asksForECN() && !t.synResent:
		s.Flags |= segment.ECE | segment.CWR
	}
}

// negotiateECN takes the answer to our SYN, or the peer's SYN of a
// simultaneous open.
func (t *TCB) negotiateECN(s *segment.Segment) {
	t.ecn.echoes = t.asksForECN() && (s.AgreesECN() || s.AsksECN())
	t.ecn.sends = t.ecn.echoes && !t.synResent // else our last SYN has said no
}

// crossedECN takes the SYN-ACK of a simultaneous open, by which the peer may
// still say no.
func (t *TCB) crossedECN(s *segment.Segment) {
	if !s.AgreesECN() {
		t.ecn.echoes, t.ecn.sends = false, false
	}
}

// takeMark looks at the ECN field of a segment in the window that brings n
// bytes of text. That of others counts for nothing (RFC 3168 sections 6.1.4
// and 6.1.5).
func (t *TCB) takeMark(now time.Time, s *segment.Segment, n int) {
	if !t.ecn.echoes {
		return
	}
	marked := s.ECN == ip.CE
	if marked {
		t.ecn.received += uint64(n)
		t.stats.InMarked.Add(1)
	}
	if t.echoesExactly() {
		t.echoExactly(now, marked)
		return
	}
	// CWR comes before CE (RFC 3168 erratum 3639). A peer that has just
	// reduced its window, or is about to, may have to wait for this
	// acknowledgement.
	if s.Has(segment.CWR) {
		t.ecn.echo = false
		t.ackNow = true
	}
	if marked && !t.ecn.echo {
		t.ecn.echo = true
		t.ackNow = true
	}
}

// echoExactly is RFC 8257 section 3.2. When the marks begin or end, what came
// before is acknowledged by itself, with the echo that belongs to it.
func (t *TCB) echoExactly(now time.Time, marked bool) {
	if marked == t.ecn.echo {
		return
	}
	if t.ackPending > 0 && !t.replies {
		t.makeSegment(now, &t.reply, t.snd.nxt, 0)
		t.replies = true
	}
	t.ecn.echo = marked
	t.ackNow = true
}

// markable makes a segment of new text one that routers may mark, and tells of
// a window that was reduced. Acknowledgements, retransmissions and window
// probes stay as they are (RFC 3168 sections 6.1.4 to 6.1.6).
func (t *TCB) markable(s *segment.Segment) {
	if !t.ecn.sends || s.Len == 0 || t.force {
		return
	}
	s.ECN = ip.ECT0
	if t.ecn.cwrDue {
		s.Flags |= segment.CWR
	}
}

// heedEcho is RFC 3168 section 6.1.2: an acknowledgement with ECE is a sign of
// congestion, as a loss is, once a round trip. Flight is FlightSize before it.
// It returns how many of the bytes that have newly arrived met congestion.
func (t *TCB) heedEcho(now time.Time, s *segment.Segment, flight int) (marked int) {
	t.ecn.until = segment.Later(t.ecn.until, t.snd.una-1) // not left behind, as recover is not
	if !t.ecn.sends || !s.Has(segment.ECE) || s.Has(segment.SYN) {
		return 0
	}
	if s.Ack.After(t.ecn.until) { // not so before the end of a recovery, which has moved it
		t.stats.ECNReductions.Add(1)
		t.cc.Marked(congestion.Loss{Now: now, Flight: flight})
		t.windowReduced()
	}
	t.ecn.delivered += uint64(t.board.news.delivered)
	return t.board.news.delivered
}

// windowReduced is called whenever the congestion window was reduced, for
// whatever reason: the next new text says so (RFC 3168 section 6.1.2).
func (t *TCB) windowReduced() {
	t.ecn.cwrDue = t.ecn.sends
	t.ecn.until = t.snd.nxt
}

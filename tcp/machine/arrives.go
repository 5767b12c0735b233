package machine

import (
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// segmentArrives is SEGMENT ARRIVES for all states but CLOSED and LISTEN
// (open_passive.go): RFC 9293 section 3.10.7, step by step. It takes
// s.text, if there is one. Now is when the segment arrived.
//
// Nothing of t changes before all checks of a state have passed, but what is
// owed to the sender of s as an answer, and the budgets of answers.
func (t *TCB) segmentArrives(now time.Time, s *segment.Segment) {
	switch t.state {
	case Closed:
		t.drop(s)
	case SynSent:
		t.synSentArrives(now, s)
	default:
		t.otherwiseArrives(now, s)
	}
}

// heard notes that s, which has passed all checks, came from the peer.
func (t *TCB) heard(now time.Time, s *segment.Segment) {
	t.lastHeard, t.keepAlives = now, 0
	if t.opts.KeepAlive {
		t.keepAliveAt = now.Add(t.opts.KeepAliveIdle)
	}
	// RFC 7323 section 4.3 (2): TS.Recent follows what is in sequence. The RFC
	// has it recorded before the ACK is looked at; then one forged segment with
	// a timestamp far ahead would have PAWS drop all that is honest.
	if t.timestamps && s.Opts.HasTimestamps && !s.Seq.After(t.lastACK) && !t.olderTimestamp(now, s) {
		t.tsRecent, t.tsRecentAt = s.Opts.TSVal, now
	}
}

// Arrives takes a packet, and says whether there is a reply that must go before
// another packet is taken.
func (t *TCB) Arrives(b *packet.Buffer) (reply bool) {
	s := &t.segment
	if err := segment.Parse(b, s); err != nil {
		t.stats.drop(err)
		b.Release()
		return t.replies
	}
	t.segmentArrives(b.Arrived, s)
	return t.replies
}

// synSentArrives is section 3.10.7.3.
func (t *TCB) synSentArrives(now time.Time, s *segment.Segment) {
	defer t.drop(s) // without Fast Open text on a SYN is not accepted; the peer sends it again

	// First, check the ACK bit.
	ackOK := false
	if s.Has(segment.ACK) {
		if !s.Ack.After(t.snd.iss) || s.Ack.After(t.snd.nxt) {
			t.stats.DropBadACK.Add(1)
			if !s.Has(segment.RST) {
				t.reset(s.Ack)
			}
			return
		}
		ackOK = s.Ack.After(t.snd.una)
	}
	// Second, check the RST bit.
	if s.Has(segment.RST) {
		if ackOK {
			t.stats.InResets.Add(1)
			t.fail(syscall.ECONNREFUSED)
		}
		return
	}
	// Third, check the security: there is none. Fourth, check the SYN bit.
	if !s.Has(segment.SYN) {
		t.stats.DropUnexpected.Add(1)
		return
	}
	t.lastHeard, t.keepAlives = now, 0
	t.rcv.irs = s.Seq
	t.rcv.nxt = s.Seq + 1
	t.negotiate(now, s)
	t.negotiateECN(s)
	t.ackNow = true
	if !ackOK { // a simultaneous open (MUST-10)
		t.state = SynReceived
		t.snd.wnd = int(s.Window)
		t.board.markAllLost() // our SYN goes again, with the acknowledgement
		t.mustResend = true
		return
	}
	t.acknowledge(now, s)
	t.establish(s)
	if t.fastOpen != nil {
		t.fastOpenAnswered(now, s)
	}
}

// negotiate takes the options of the peer's SYN.
func (t *TCB) negotiate(now time.Time, s *segment.Segment) {
	o := &s.Opts
	if o.MSS != 0 {
		t.snd.peerMSS = min(max(int(o.MSS), minMSS), t.cfg.MSS)
	}
	t.sackOK = o.SackPermitted && !t.cfg.NoSACK
	t.timestamps = o.HasTimestamps && !t.cfg.NoTimestamps
	t.tsRecent, t.tsRecentAt = o.TSVal, now
	if t.scaled = o.HasScale && !t.cfg.NoWindowScale; t.scaled {
		t.snd.scale = o.Scale
	} else {
		t.snd.scale, t.rcv.scale = 0, 0 // RFC 7323 section 2.2: both or none
	}
	t.fitMSS()
	t.beginControl(now)
	t.rcv.edge = t.rcv.nxt.Add(min(t.recvq.limit, 0xffff)) // the window of a SYN is not scaled
	t.lastACK = t.rcv.nxt
}

// establish enters ESTABLISHED by the segment s, which acknowledges our SYN.
func (t *TCB) establish(s *segment.Segment) {
	t.state = Established
	t.snd.wnd = int(s.Window)
	if !s.Has(segment.SYN) {
		t.snd.wnd <<= t.snd.scale
	}
	t.snd.maxWnd = max(t.snd.maxWnd, t.snd.wnd)
	t.snd.wl1, t.snd.wl2 = s.Seq, s.Ack
	if t.ecn.sends {
		t.stats.ECNConnections.Add(1)
	}
	if t.synResent {
		// The initial window is one segment (RFC 5681 section 3.1), and the
		// timeout 3 seconds (RFC 6298 (5.7)).
		t.cc.TimedOut(congestion.Loss{Now: t.lastHeard, Again: true})
		t.rtt.base = max(t.rtt.base, 3*time.Second)
		t.rtt.backoff = 0
	}
}

// otherwiseArrives is section 3.10.7.4.
func (t *TCB) otherwiseArrives(now time.Time, s *segment.Segment) {
	if !t.checkSequence(now, s) || !t.checkRST(now, s) || !t.checkSYN(now, s) || !t.checkACK(now, s) {
		t.drop(s)
		return
	}
	t.heedRoute(s)
	t.checkURG(s)
	t.noteFIN(s)
	t.processText(now, s)
	t.checkFIN(s)
}

// drop gives the text of s back.
func (t *TCB) drop(s *segment.Segment) {
	if s.Text != nil {
		s.Text.Release()
		s.Text = nil
	}
}

// checkSequence is the first step: is the segment in the window? It comes
// after the check of the timestamps, and cuts off what is outside.
func (t *TCB) checkSequence(now time.Time, s *segment.Segment) bool {
	if !t.checkPAWS(now, s) {
		return false
	}
	if !t.acceptable(s) && !t.crossesOurs(now, s) {
		// A bare SYN that repeats the one we have answered: so does the answer.
		if t.repeatsSYN(now, s) {
			if t.timestamps && s.Opts.HasTimestamps {
				t.tsRecent, t.tsRecentAt = s.Opts.TSVal, now // RFC 7323 section 4.3 (2)
			}
			t.board.markAllLost()
			t.mustResend = true
			return false
		}
		if !s.Has(segment.RST) {
			t.answerInvalid(now, s)
			t.noteOld(s)
		}
		t.stats.DropOutOfWindow.Add(1)
		return false
	}
	return true
}

// repeatsSYN says whether s is the SYN again that brought SYN-RECEIVED.
func (t *TCB) repeatsSYN(now time.Time, s *segment.Segment) bool {
	return t.state == SynReceived && s.Flags&(segment.SYN|segment.ACK|segment.RST) == segment.SYN && s.Seq == t.rcv.irs && !t.outdated(now, s)
}

// crossesOurs says whether s is the SYN,ACK of a simultaneous open, by which
// the peer answers our SYN and repeats its own (RFC 9293 figure 7).
func (t *TCB) crossesOurs(now time.Time, s *segment.Segment) bool {
	return t.state == SynReceived && !t.passive && s.Flags&(segment.SYN|segment.ACK|segment.RST) == segment.SYN|segment.ACK && s.Seq == t.rcv.irs &&
		s.Ack.After(t.snd.una) && !s.Ack.After(t.snd.nxt) && !t.outdated(now, s)
}

// outdated says whether s has a timestamp before TS.Recent.
func (t *TCB) outdated(now time.Time, s *segment.Segment) bool {
	return t.timestamps && s.Opts.HasTimestamps && t.olderTimestamp(now, s)
}

// checkPAWS is the protection against wrapped sequence numbers (RFC 7323
// section 5.3, R1).
func (t *TCB) checkPAWS(now time.Time, s *segment.Segment) bool {
	if !t.timestamps || s.Has(segment.RST) || s.Has(segment.SYN) {
		return true
	}
	if !s.Opts.HasTimestamps { // RFC 7323 section 3.2: to be dropped
		t.stats.DropPAWS.Add(1)
		return false
	}
	if t.olderTimestamp(now, s) {
		t.answerInvalid(now, s)
		t.noteOld(s)
		t.stats.DropPAWS.Add(1)
		return false
	}
	return true
}

// olderTimestamp says whether the timestamp of s is before TS.Recent, unless
// that is so old that the peer's clock may have wrapped (RFC 7323 section 5.5).
func (t *TCB) olderTimestamp(now time.Time, s *segment.Segment) bool {
	const outdated = 24 * 24 * time.Hour
	return int32(s.Opts.TSVal-t.tsRecent) < 0 && now.Sub(t.tsRecentAt) < outdated
}

// acceptable is the test of RFC 9293 table 6, for the window that the peer
// has been told of.
//
//	length  window   acceptable if
//	0       0        SEG.SEQ = RCV.NXT
//	0       >0       RCV.NXT =< SEG.SEQ < RCV.NXT+RCV.WND
//	>0      0        never; but see below
//	>0      >0       the first or the last octet is inside
//
// With a zero window a segment at RCV.NXT is let through for its flags
// (MUST-66), its acknowledgement and, if there is no text before it, its FIN;
// the text is cut off.
func (t *TCB) acceptable(s *segment.Segment) bool {
	wnd := t.rcv.edge.Sub(t.rcv.nxt)
	if wnd <= 0 {
		return s.Seq == t.rcv.nxt && (s.Span() == 0 || s.Flags&(segment.ACK|segment.RST) != 0)
	}
	if s.Seq.Within(t.rcv.nxt, wnd) {
		return true
	}
	// A segment whose end is inside, and a bare one at the very edge, which a
	// peer sends that has filled the window.
	n := s.Span()
	return n > 0 && (s.End()-1).Within(t.rcv.nxt, wnd) || n == 0 && s.Seq == t.rcv.edge
}

// checkRST is the second step, with the defence of RFC 5961 section 3.2: only
// a reset at exactly RCV.NXT counts, another one in the window is challenged,
// and one before it whose text reaches into the window is neither.
func (t *TCB) checkRST(now time.Time, s *segment.Segment) bool {
	switch {
	case !s.Has(segment.RST):
		return true
	case s.Seq == t.rcv.nxt:
	case s.Seq.Within(t.rcv.nxt, t.rcv.edge.Sub(t.rcv.nxt)):
		t.challenge(now)
		return false
	default:
		t.stats.DropOutOfWindow.Add(1)
		return false
	}
	t.stats.InResets.Add(1)
	switch t.state {
	case SynReceived:
		if t.passive { // its user has it only by Fast Open
			t.fail(syscall.ECONNRESET)
			break
		}
		t.fail(syscall.ECONNREFUSED)
	case Closing, LastAck, TimeWait:
		t.fail(nil)
	default:
		t.fail(syscall.ECONNRESET)
	}
	return false
}

// checkSYN is the fourth step (the third, security, is empty): RFC 5961
// section 4.2 challenges a SYN whatever its sequence number.
func (t *TCB) checkSYN(now time.Time, s *segment.Segment) bool {
	if !s.Has(segment.SYN) || t.crossesOurs(now, s) {
		return true
	}
	t.challenge(now)
	return false
}

// checkURG is the sixth step: RCV.UP follows the urgent pointer (MUST-62).
// Urgent data is delivered in line, as RFC 6093 section 6 asks.
func (t *TCB) checkURG(s *segment.Segment) {
	if !s.Has(segment.URG) || !t.state.canReceive() {
		return
	}
	up := s.Seq.Add(int(s.Urgent))
	if !t.urgentSeen || up.After(t.rcv.urgent) {
		t.rcv.urgent, t.urgentSeen = up, true
		if up.After(t.readNxt()) {
			t.signal.Urgent = true // MUST-32
		}
	}
}

// processText is the seventh step. It takes s.text.
func (t *TCB) processText(now time.Time, s *segment.Segment) {
	text, start := s.Text, s.TextSeq()
	s.Text = nil
	if text == nil {
		return
	}
	if text.Len() == 0 || !t.state.canReceive() {
		text.Release()
		return
	}
	t.takeMark(now, s, text.Len())
	if d := start.Add(text.Len()).Sub(t.textEdge()); d > 0 { // beyond the window
		text.Trim(max(0, text.Len()-d))
		t.ackNow = true
	}
	if t.noReader && t.finQueued && start.Add(text.Len()).After(t.rcv.nxt) {
		// RFC 1122 section 4.2.2.13: the user has done with both directions, so
		// this text is lost, and the peer should know.
		t.stats.DropAfterClose.Add(1)
		text.Release()
		err := error(nil)
		if !t.orphan {
			err = syscall.ECONNRESET
		}
		t.Abort(err)
		return
	}
	if t.takeText(start, text, s.Train); t.ackPending > 0 {
		t.acknowledgeQuickly(now)
	}
	t.tuneReceive(now)
	if t.ackPending > 0 && !t.ackNow && t.delayedACKAt.IsZero() {
		t.delayedACKAt = now.Add(t.cfg.DelayedACK)
	}
}

// textEdge is where the text ends that we take: at the right edge of the
// window, or where the peer's FIN stands, behind which there is none.
func (t *TCB) textEdge() segment.Seq {
	if t.finSeen && t.finAt.Before(t.rcv.edge) {
		return t.finAt
	}
	return t.rcv.edge
}

// takeText queues text, and decides when to acknowledge it (RFC 5681 section
// 4.2, SHLD-18 and SHLD-19).
func (t *TCB) takeText(start segment.Seq, text *packet.Buffer, train int) {
	n := text.Len()
	if n == 0 {
		text.Release()
		return
	}
	perSegment := n
	if train > 0 {
		perSegment = min(train, n)
	}
	t.rcv.mss = max(t.rcv.mss, min(perSegment, t.path.link))

	t.noteDuplicate(start, start.Add(n))
	hole := len(t.recvq.ahead) > 0
	nxt, kept := t.recvq.insert(t.rcv.nxt, start, text)
	switch {
	case !kept && start.After(t.rcv.nxt):
		t.stats.DropAheadFull.Add(1)
		t.ackNow = true
	case !kept:
		t.stats.DropDuplicate.Add(1)
		t.ackNow = true
	case nxt == t.rcv.nxt: // ahead of a hole (MAY-13)
		t.stats.OutOfOrder.Add(1)
		t.ackNow = true
	case hole: // a hole has been filled, in part at least
		t.ackNow = true
	case start.Before(t.rcv.nxt): // some of it has come before: RFC 2883
		t.ackNow = true
	}
	t.ackPending += nxt.Sub(t.rcv.nxt)
	t.count.received += uint64(nxt.Sub(t.rcv.nxt))
	t.rcv.nxt = nxt
	if t.noReader {
		t.recvq.clearReady()
	}
	if t.ackPending >= 2*t.rcv.mss || t.cfg.DelayedACK < 0 {
		t.ackNow = true
	}
}

// noteFIN remembers where the FIN of s stands, unless that is beyond the window.
// What has been taken of text behind it was none.
func (t *TCB) noteFIN(s *segment.Segment) {
	at := s.End() - 1
	switch {
	case !s.Has(segment.FIN):
	case at.After(t.rcv.edge):
		s.Flags &^= segment.FIN
	case t.state.canReceive() && !t.finSeen:
		t.finAt, t.finSeen = at, true
		t.recvq.cutAhead(at)
	}
}

// checkFIN is the eighth step.
func (t *TCB) checkFIN(s *segment.Segment) {
	if s.Has(segment.FIN) && (t.finTaken || t.finAt != t.rcv.nxt) {
		t.ackNow = true // sent again, or ahead of a hole
	}
	if !t.finSeen || t.finTaken || t.finAt != t.rcv.nxt {
		return
	}
	t.finTaken = true
	t.rcv.nxt++
	t.rcv.edge = segment.Later(t.rcv.edge, t.rcv.nxt)
	t.ackNow = true
	switch t.state {
	case Established:
		t.state = CloseWait
	case FinWait1:
		// Our FIN was not acknowledged by this segment, or checkACK would have
		// entered FIN-WAIT-2.
		t.state = Closing
	case FinWait2:
		t.enterTimeWait()
	}
}

func (t *TCB) enterTimeWait() {
	t.state = TimeWait
	t.stopTimers()
}

// reset queues <SEQ=q><CTL=RST>.
func (t *TCB) reset(q segment.Seq) {
	t.reply = segment.Segment{Seq: q, Flags: segment.RST}
	t.replies = true
}

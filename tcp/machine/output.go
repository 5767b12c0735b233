package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TrainsAtOnce bounds how much a connection sends before others have their turn.
const TrainsAtOnce = 16

// output says whether a segment would go out now, and makes s that segment. It
// changes nothing else: the caller puts the segment on its way and then calls
// sent, or it drops it and asks again later. If there is none, the caller calls
// blocked.
func (t *TCB) output(now time.Time, s *segment.Segment) bool {
	if t.replies {
		*s = t.reply
		t.stamp(now, s) // RFC 7323 section 3.2: on resets too
		return true
	}
	switch t.state {
	case Closed, Listen:
		return false
	case SynSent, SynReceived:
		if t.flightEmpty() {
			t.makeSYN(now, s)
			return true
		}
	}
	if t.lossProbeSegment(now, s) || t.retransmission(now, s) || t.newText(now, s) {
		return true
	}
	if t.ackNow && t.state != SynSent {
		t.makeSegment(now, s, t.bareSeq(), 0)
		return true
	}
	return false
}

// Next is output for the processes: it says whether a segment would go out now,
// which packet then makes, and commit notes to be on its way. Nothing may come
// between the three.
func (t *TCB) Next(now time.Time) bool { return t.output(now, &t.segment) }

// Packet is the segment of next as a packet, for ipv4.Tx.
func (t *TCB) Packet() *packet.Buffer { return t.build(&t.segment) }

// Commit notes that the segment of next is on its way.
func (t *TCB) Commit(now time.Time) { t.sent(now, &t.segment) }

// bareSeq is the sequence number of a segment without text: SND.NXT, but where
// the window of the peer ends before that, as it does while a probe of a closed
// window is in flight. The peer refuses what is beyond, with all that it says.
func (t *TCB) bareSeq() segment.Seq {
	if edge := t.snd.una.Add(t.snd.wnd); t.state.synchronized() && edge.Before(t.snd.nxt) {
		return edge
	}
	return t.snd.nxt
}

// makeSYN makes s our SYN, with the acknowledgement of the peer's in
// SYN-RECEIVED.
func (t *TCB) makeSYN(now time.Time, s *segment.Segment) {
	*s = segment.Segment{Seq: t.snd.iss, Flags: segment.SYN, Window: uint16(min(t.free(), 0xffff))}
	s.Opts = segment.Options{
		MSS:           t.cfg.offeredMSS(t.path.link),
		HasScale:      !t.cfg.NoWindowScale,
		Scale:         t.rcv.scale,
		SackPermitted: !t.cfg.NoSACK,
		HasTimestamps: !t.cfg.NoTimestamps,
		TSVal:         t.timestamp(now),
	}
	if t.state == SynReceived { // only what the peer has offered too
		s.Flags |= segment.ACK
		s.Ack = t.rcv.nxt
		s.Opts.HasScale = t.scaled
		s.Opts.SackPermitted = t.sackOK
		s.Opts.HasTimestamps = t.timestamps
		s.Opts.TSEcr = t.tsRecent
	} else if t.flightEmpty() && t.fastOpen != nil {
		t.addFastOpen(s)
	}
	t.setUpECN(s)
}

// stamp puts our timestamp on s, if both ends use them; without ACK it echoes
// none (RFC 7323 section 3.2).
func (t *TCB) stamp(now time.Time, s *segment.Segment) {
	if t.timestamps {
		s.Opts.HasTimestamps = true
		s.Opts.TSVal = t.timestamp(now)
		if s.Has(segment.ACK) {
			s.Opts.TSEcr = t.tsRecent
		}
	}
}

// makeSegment makes s a segment with n bytes of text from q on, and with the
// acknowledgement, window and options of the moment. PSH is set where it
// belongs.
func (t *TCB) makeSegment(now time.Time, s *segment.Segment, q segment.Seq, n int) {
	*s = segment.Segment{Seq: q, Ack: t.rcv.nxt, Flags: segment.ACK, Len: n, Window: t.windowField()}
	if t.ecn.echo {
		s.Flags |= segment.ECE
	}
	t.stamp(now, s)
	t.putSACKs(s)
	t.putUrgent(s)
	if n > 0 && q.Add(n) == t.sendq.end() {
		s.Flags |= segment.PSH // nothing more is queued (MUST-61)
	}
}

// retransmission makes s the next lost segment, if there is one and it may be
// sent.
func (t *TCB) retransmission(now time.Time, s *segment.Segment) bool {
	i, ok := t.board.nextLost()
	if !ok {
		return false
	}
	f := t.board.flights.At(i)
	if !t.state.synchronized() {
		if f.start == t.snd.iss {
			t.makeSYN(now, s)
			return true
		}
		if !t.acceptedEarly() {
			return false // text that went with our SYN waits for the answer
		}
	}
	if (t.paced(now) || t.frto.stage == frtoNew) && !t.mustResend {
		return false
	}
	room := t.cwnd() - t.pipe()
	if t.mustResend {
		room = max(room, t.snd.mss)
	}
	if wnd := t.snd.una.Add(t.snd.wnd).Sub(f.start); wnd < room && !t.mustResend {
		room = wnd // SHLD-16: what is behind a window that has shrunk waits
	}
	if room < min(t.snd.mss, f.len()) {
		return false
	}
	text := f.len()
	fin := f.end.After(t.sendq.end())
	if fin {
		text--
	}
	if limit := min(wholeSegments(room, t.snd.mss), t.paceTrain()); text > limit {
		text, fin = limit, false
	}
	t.makeSegment(now, s, f.start, text)
	if fin {
		s.Flags |= segment.FIN
	}
	return true
}

// newText makes s the next segment that was never sent: text, FIN, or both; if
// there is something, and it may be sent.
func (t *TCB) newText(now time.Time, s *segment.Segment) bool {
	early := t.acceptedEarly()
	if !t.state.sendsText() && !early || t.finSent() || t.board.full() || t.paced(now) && !t.force {
		return false
	}
	unsent := t.sendq.end().Sub(t.snd.nxt)
	fin := t.finQueued && !early // section 3.10.4: a FIN waits for the handshake
	if unsent == 0 && !fin {
		return false
	}
	if made, wait := t.mtuProbe(now, s, unsent); made || wait {
		return made
	}
	n, ok := t.sendable(unsent)
	if !ok {
		return false
	}
	if n < unsent {
		n = t.sendq.together(t.snd.nxt, n)
	}
	t.makeSegment(now, s, t.snd.nxt, n)
	t.markable(s)
	if n == unsent && fin {
		s.Flags |= segment.FIN
	}
	return true
}

// sendable is how many of the unsent bytes the next segment takes, by the
// window of the peer, the congestion window, Nagle's algorithm and the
// avoidance of the silly window syndrome (RFC 9293 section 3.8.6.2.1, MUST-38;
// section 3.7.4).
func (t *TCB) sendable(unsent int) (n int, ok bool) {
	wnd := t.snd.una.Add(t.snd.wnd).Sub(t.snd.nxt)
	if t.force {
		return min(unsent, max(1, min(wnd, t.snd.mss))), true
	}
	mss := t.snd.mss
	idle := t.flightEmpty()
	cwnd := t.cwnd() - t.pipe()
	if cwnd < mss && cwnd < unsent && !idle {
		return 0, false
	}
	n = min(unsent, wnd, cwnd, t.paceTrain())
	switch {
	case unsent == 0: // a FIN alone
		return 0, wnd > 0 || idle
	case n <= 0:
		return 0, false
	case n == unsent && (!t.held || t.finQueued) && (t.opts.NoDelay || idle || t.finQueued || t.onlySYN()):
		return n, true // (2): all that there is, pushed
	case n >= mss:
		return wholeSegments(n, mss), true // (1)
	case wnd < unsent && n >= t.snd.maxWnd/2 && idle:
		return n, true // (3): the peer's window is small as a whole
	}
	return 0, false
}

// onlySYN says whether nothing but our SYN is in flight, as on a connection
// that was accepted early (RFC 7413): a SYN is no data that Nagle's algorithm
// would wait for (RFC 9293 section 3.7.4).
func (t *TCB) onlySYN() bool { return t.snd.una == t.snd.iss && t.snd.nxt == t.snd.iss+1 }

// wholeSegments is the largest multiple of mss up to n, and n itself when it
// is less than one.
func wholeSegments(n, mss int) int {
	if n < mss {
		return n
	}
	return n - n%mss
}

// maxText is how much text an IP datagram has room for behind the longest TCP
// header.
const maxText = ipv4.MaxLen - ipv4.MinHeaderLen - segment.MaxHeaderLen

// maxTrain is how much text the next train may have.
func (t *TCB) maxTrain() int {
	if t.snd.urgent {
		return t.snd.mss // each segment has an urgent pointer of its own
	}
	return t.trainLen()
}

// sent notes that s, which output returned, is on its way.
func (t *TCB) sent(now time.Time, s *segment.Segment) {
	t.stats.OutSegments.Add(1)
	t.replies = false // a reply goes before everything else
	t.urgentAcked()
	if s.Has(segment.RST) {
		t.stats.OutResets.Add(1)
		t.nextReset()
		return
	}
	if s.Has(segment.ACK) {
		t.acknowledged(s)
	}
	if t.fastOpen != nil && s.Has(segment.SYN) && !s.Has(segment.ACK) {
		t.fastOpenSent(s)
	}
	if s.Span() == 0 {
		return
	}
	if s.Has(segment.CWR) {
		t.ecn.cwrDue = false
	}
	t.occupied(now, s)
	if t.force {
		t.force = false
		t.stats.WindowProbes.Add(1)
	}
	t.lastSent = now
	t.persistAt = time.Time{}
	if t.rtoAt.IsZero() {
		t.rtoAt = now.Add(t.rtt.rto()) // RFC 6298 (5.1)
	}
	t.scheduleLossProbe(now)
}

// occupied notes what sequence numbers s has taken, and tells loss recovery
// and congestion control.
func (t *TCB) occupied(now time.Time, s *segment.Segment) {
	again := s.Seq != t.snd.nxt
	t.pathSent(s, again)
	pipe, n := t.pipe(), s.Span()
	how := t.delivery.sent(now, pipe, n, t.board.losses)
	how.unit, how.fin = int32(t.cutAt(s)), s.Has(segment.FIN)
	if again {
		t.stats.Retransmits.Add(1)
		t.count.resent += uint64(n)
		t.board.resend(s.Seq, s.End(), now, how)
		t.mustResend = false
		t.undo.resend(s, n)
		if t.phase == recovering && s.Seq == t.snd.una {
			t.rtoAt = time.Time{} // the timer is to run for this transmission, not for the lost one
		}
	} else {
		t.count.sent += uint64(n)
		if s.Len > 0 {
			t.quick.answered(now, t.cfg.DelayedACK)
		}
		t.snd.nxt = s.End()
		t.board.push(s.Seq, s.End(), now, how)
	}
	t.loaded()
	t.prr.out += n
	t.paceSent(now, n)
	t.cc.Sent(congestion.Sent{Now: now, Bytes: n, InFlight: pipe, Again: again})
	if t.probe.due {
		t.lossProbeSent(again)
	}
}

// acknowledged notes what s has told the peer of our receiving. An
// acknowledgement of less than all leaves the rest owed.
func (t *TCB) acknowledged(s *segment.Segment) {
	t.lastACK = s.Ack
	if t.ackPending > 0 {
		t.quick.sent++
	}
	if t.ackPending = t.rcv.nxt.Sub(s.Ack); t.ackPending == 0 {
		t.ackNow = false
		t.delayedACKAt = time.Time{}
	}
	t.duplicateReported(s)
	scale := t.rcv.scale
	if s.Has(segment.SYN) {
		scale = 0
	}
	t.rcv.edge = segment.Later(t.rcv.edge, s.Ack.Add(int(s.Window)<<scale))
}

// build makes s a packet, with its text and the IP header, for ipv4.Tx.
func (t *TCB) build(s *segment.Segment) *packet.Buffer {
	b := t.sendq.packet(s.TextSeq(), s.Len)
	t.address(b, s)
	return b
}

// cutAt is how much text each segment has of the train s; 0 when s is a single
// segment.
func (t *TCB) cutAt(s *segment.Segment) int {
	mss := t.snd.mss
	if s.Opts.SACKs > 0 {
		mss = max(minText, mss-4-8*s.Opts.SACKs)
	}
	if s.Len <= mss || s.Probe > 0 || s.Has(segment.SYN) { // the text of a SYN has a bound of its own: addFastOpen
		return 0
	}
	return mss
}

// address writes the headers of s in front of its text.
func (t *TCB) address(b *packet.Buffer, s *segment.Segment) {
	b.SegmentSize = t.cutAt(s)
	segment.Encode(b, s, &t.flow)
	t.route.Push(b, ipv4.Fields{
		TOS: t.opts.TOS&^ip.ECNMask | uint8(s.ECN), TTL: t.opts.TTL, Protocol: ip.ProtocolTCP, DF: true,
		Src: t.flow.Local.Addr(), Dst: t.flow.Remote.Addr(),
	})
}

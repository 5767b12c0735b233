package tcp

import (
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// TrainsAtOnce bounds how much a connection sends before others have their turn.
const TrainsAtOnce = 16

// output says whether a segment would go out now, and makes s that segment. It
// changes nothing else: the caller puts the segment on its way and then calls
// sent, or it drops it and asks again later. If there is none, the caller calls
// blocked.
func (t *tcb) output(now time.Time, s *segment) bool {
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

// next is output for the processes: it says whether a segment would go out now,
// which packet then makes, and commit notes to be on its way. Nothing may come
// between the three.
func (t *tcb) next(now time.Time) bool { return t.output(now, &t.segment) }

// packet is the segment of next as a packet, for ipv4.Tx.
func (t *tcb) packet() *packet.Buffer { return t.build(&t.segment) }

// commit notes that the segment of next is on its way.
func (t *tcb) commit(now time.Time) { t.sent(now, &t.segment) }

// bareSeq is the sequence number of a segment without text: SND.NXT, but where
// the window of the peer ends before that, as it does while a probe of a closed
// window is in flight. The peer refuses what is beyond, with all that it says.
func (t *tcb) bareSeq() seq {
	if edge := t.snd.una.add(t.snd.wnd); t.state.synchronized() && edge.before(t.snd.nxt) {
		return edge
	}
	return t.snd.nxt
}

// makeSYN makes s our SYN, with the acknowledgement of the peer's in
// SYN-RECEIVED.
func (t *tcb) makeSYN(now time.Time, s *segment) {
	*s = segment{seq: t.snd.iss, flags: SYN, window: uint16(min(t.free(), 0xffff))}
	s.opts = options{
		mss:           t.cfg.offeredMSS(t.path.link),
		hasScale:      !t.cfg.NoWindowScale,
		scale:         t.rcv.scale,
		sackPermitted: !t.cfg.NoSACK,
		hasTimestamps: !t.cfg.NoTimestamps,
		tsVal:         t.timestamp(now),
	}
	if t.state == SynReceived { // only what the peer has offered too
		s.flags |= ACK
		s.ack = t.rcv.nxt
		s.opts.hasScale = t.scaled
		s.opts.sackPermitted = t.sackOK
		s.opts.hasTimestamps = t.timestamps
		s.opts.tsEcr = t.tsRecent
	} else if t.flightEmpty() && t.fastOpen != nil {
		t.addFastOpen(s)
	}
	t.setUpECN(s)
}

// stamp puts our timestamp on s, if both ends use them; without ACK it echoes
// none (RFC 7323 section 3.2).
func (t *tcb) stamp(now time.Time, s *segment) {
	if t.timestamps {
		s.opts.hasTimestamps = true
		s.opts.tsVal = t.timestamp(now)
		if s.has(ACK) {
			s.opts.tsEcr = t.tsRecent
		}
	}
}

// makeSegment makes s a segment with n bytes of text from q on, and with the
// acknowledgement, window and options of the moment. PSH is set where it
// belongs.
func (t *tcb) makeSegment(now time.Time, s *segment, q seq, n int) {
	*s = segment{seq: q, ack: t.rcv.nxt, flags: ACK, len: n, window: t.windowField()}
	if t.ecn.echo {
		s.flags |= ECE
	}
	t.stamp(now, s)
	t.putSACKs(s)
	t.putUrgent(s)
	if n > 0 && q.add(n) == t.sendq.end() {
		s.flags |= PSH // nothing more is queued (MUST-61)
	}
}

// retransmission makes s the next lost segment, if there is one and it may be
// sent.
func (t *tcb) retransmission(now time.Time, s *segment) bool {
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
	if wnd := t.snd.una.add(t.snd.wnd).sub(f.start); wnd < room && !t.mustResend {
		room = wnd // SHLD-16: what is behind a window that has shrunk waits
	}
	if room < min(t.snd.mss, f.len()) {
		return false
	}
	text := f.len()
	fin := f.end.after(t.sendq.end())
	if fin {
		text--
	}
	if limit := min(wholeSegments(room, t.snd.mss), t.paceTrain()); text > limit {
		text, fin = limit, false
	}
	t.makeSegment(now, s, f.start, text)
	if fin {
		s.flags |= FIN
	}
	return true
}

// newText makes s the next segment that was never sent: text, FIN, or both; if
// there is something, and it may be sent.
func (t *tcb) newText(now time.Time, s *segment) bool {
	early := t.acceptedEarly()
	if !t.state.sendsText() && !early || t.finSent() || t.board.full() || t.paced(now) && !t.force {
		return false
	}
	unsent := t.sendq.end().sub(t.snd.nxt)
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
		s.flags |= FIN
	}
	return true
}

// sendable is how many of the unsent bytes the next segment takes, by the
// window of the peer, the congestion window, Nagle's algorithm and the
// avoidance of the silly window syndrome (RFC 9293 section 3.8.6.2.1, MUST-38;
// section 3.7.4).
func (t *tcb) sendable(unsent int) (n int, ok bool) {
	wnd := t.snd.una.add(t.snd.wnd).sub(t.snd.nxt)
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
	case n == unsent && (!t.held || t.finQueued) && (t.opts.noDelay || idle || t.finQueued || t.onlySYN()):
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
func (t *tcb) onlySYN() bool { return t.snd.una == t.snd.iss && t.snd.nxt == t.snd.iss+1 }

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
const maxText = ipv4.MaxLen - ipv4.MinHeaderLen - maxHeaderLen

// maxTrain is how much text the next train may have.
func (t *tcb) maxTrain() int {
	if t.snd.urgent {
		return t.snd.mss // each segment has an urgent pointer of its own
	}
	return t.trainLen()
}

// sent notes that s, which output returned, is on its way.
func (t *tcb) sent(now time.Time, s *segment) {
	t.stats.OutSegments.Add(1)
	t.replies = false // a reply goes before everything else
	t.urgentAcked()
	if s.has(RST) {
		t.stats.OutResets.Add(1)
		t.nextReset()
		return
	}
	if s.has(ACK) {
		t.acknowledged(s)
	}
	if t.fastOpen != nil && s.has(SYN) && !s.has(ACK) {
		t.fastOpenSent(s)
	}
	if s.span() == 0 {
		return
	}
	if s.has(CWR) {
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
func (t *tcb) occupied(now time.Time, s *segment) {
	again := s.seq != t.snd.nxt
	t.pathSent(s, again)
	pipe, n := t.pipe(), s.span()
	how := t.delivery.sent(now, pipe, n, t.board.losses)
	how.unit, how.fin = int32(t.cutAt(s)), s.has(FIN)
	if again {
		t.stats.Retransmits.Add(1)
		t.count.resent += uint64(n)
		t.board.resend(s.seq, s.end(), now, how)
		t.mustResend = false
		t.undo.resend(s, n)
		if t.phase == recovering && s.seq == t.snd.una {
			t.rtoAt = time.Time{} // the timer is to run for this transmission, not for the lost one
		}
	} else {
		t.count.sent += uint64(n)
		if s.len > 0 {
			t.quick.answered(now, t.cfg.DelayedACK)
		}
		t.snd.nxt = s.end()
		t.board.push(s.seq, s.end(), now, how)
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
func (t *tcb) acknowledged(s *segment) {
	t.lastACK = s.ack
	if t.ackPending > 0 {
		t.quick.sent++
	}
	if t.ackPending = t.rcv.nxt.sub(s.ack); t.ackPending == 0 {
		t.ackNow = false
		t.delayedACKAt = time.Time{}
	}
	t.duplicateReported(s)
	scale := t.rcv.scale
	if s.has(SYN) {
		scale = 0
	}
	t.rcv.edge = later(t.rcv.edge, s.ack.add(int(s.window)<<scale))
}

// build makes s a packet, with its text and the IP header, for ipv4.Tx.
func (t *tcb) build(s *segment) *packet.Buffer {
	b := t.sendq.packet(s.textSeq(), s.len)
	t.address(b, s)
	return b
}

// cutAt is how much text each segment has of the train s; 0 when s is a single
// segment.
func (t *tcb) cutAt(s *segment) int {
	mss := t.snd.mss
	if s.opts.sacks > 0 {
		mss = max(minText, mss-4-8*s.opts.sacks)
	}
	if s.len <= mss || s.probe > 0 || s.has(SYN) { // the text of a SYN has a bound of its own: addFastOpen
		return 0
	}
	return mss
}

// address writes the headers of s in front of its text.
func (t *tcb) address(b *packet.Buffer, s *segment) {
	b.SegmentSize = t.cutAt(s)
	encode(b, s, &t.flow)
	t.route.push(b, ipv4.Fields{
		TOS: t.opts.tos&^ip.ECNMask | uint8(s.ecn), TTL: t.opts.ttl, Protocol: ip.ProtocolTCP, DF: true,
		Src: t.flow.Local.Addr(), Dst: t.flow.Remote.Addr(),
	})
}

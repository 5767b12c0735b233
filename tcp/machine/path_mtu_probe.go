package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Here the machine of path_mtu.go meets the rest of the connection.

// textFor is how much text a segment holds in a datagram of size bytes, by what
// the peer takes and less the options that go on each segment (RFC 9293
// section 3.7.1, RFC 6691).
func (t *TCB) textFor(size int) int {
	text := min(t.snd.peerMSS, size-headersLen) - t.route.Len()
	if t.timestamps {
		text -= 12
	}
	return min(text, maxText-t.route.Len())
}

// packetTooBig is a router's word that no datagram larger than mtu passes (RFC
// 1191); q is the beginning of the segment that it is about. What was larger
// is sent again in smaller segments; a SYN with text again without.
func (t *TCB) packetTooBig(now time.Time, mtu int, q segment.Seq) {
	withSYN := t.state == SynSent && t.fastOpen != nil && t.fastOpen.text > 0
	if withSYN { // the peer's MSS of this time is not known yet
		t.path.limit(t.path.mtu)
	}
	if !t.state.synchronized() && !withSYN || !t.path.tooBig(now, mtu, q) {
		return
	}
	if withSYN {
		t.fastOpen.tooBig = true
	}
	t.updateMSS()
	t.board.markAllLost()
	t.mustResend = true
	t.rtoAt = now.Add(t.rtt.rto())
}

// mtuProbe makes s a segment of new text that is larger than all others, if one
// is due and can be sent, with what must follow it so that its loss is noticed
// (RFC 4821 section 7.4). While only the windows lack room for it, wait is
// true, and no other new text goes out.
func (t *TCB) mtuProbe(now time.Time, s *segment.Segment, unsent int) (made, wait bool) {
	size := t.path.next(now)
	if size == 0 || t.phase != steady || t.force || t.board.lost > 0 || t.board.sacked > 0 || len(t.recvq.blocks) > 0 {
		return false, false
	}
	text := t.textFor(size)
	all := text + (dupThresh+1)*t.snd.mss
	if text <= t.snd.mss || unsent < all || t.snd.wnd < all || t.cwnd() < all {
		return false, false
	}
	if t.snd.una.Add(t.snd.wnd).Sub(t.snd.nxt) < all || t.cwnd()-t.pipe() < text {
		return false, true
	}
	t.makeSegment(now, s, t.snd.nxt, text)
	s.Probe = size
	return true, false
}

// pathSent tells the path MTU what has gone out. Text on a SYN tells nothing:
// the MSS of the moment is none that the peer has given.
func (t *TCB) pathSent(s *segment.Segment, again bool) {
	if s.Len == 0 || s.Has(segment.SYN) {
		return
	}
	text := segment.Block{Left: s.Seq, Right: s.Seq.Add(s.Len)}
	if s.Probe > 0 {
		t.stats.MTUProbes.Add(1)
		t.path.probed(text, s.Probe)
		return
	}
	t.path.sent(text, t.snd.mss, again)
}

// pathAcked tells it how far the peer's acknowledgement has come.
func (t *TCB) pathAcked(now time.Time) {
	if t.path.acked(now, t.snd.una) {
		t.updateMSS()
	}
}

// pathTimedOut tells it that the retransmission timer has expired. A segment
// need not be of full size to be too large for the path.
func (t *TCB) pathTimedOut(now time.Time) {
	large := t.state.synchronized() && t.board.flights.At(0).len() > t.textFor(minPMTU)
	if !t.path.timedOut(now, t.snd.una, large) {
		return
	}
	t.updateMSS()
	if t.path.state == SearchBase || t.path.state == SearchError {
		t.stats.BlackHoles.Add(1)
	}
}

// onlyProbeLost says whether all that counts as lost is a probe: that says
// nothing about congestion (RFC 4821 section 7.6.2). Then its text is sent
// again, and the sum of all losses is what it was before.
func (t *TCB) onlyProbeLost(now time.Time, before uint64) bool {
	p := t.path.probe
	if !t.path.probing() {
		return false
	}
	lost := 0
	for i := t.board.find(p.Left); i < t.board.flights.Len(); i++ {
		f := t.board.flights.At(i)
		if !f.start.Before(p.Right) {
			break
		}
		if f.lost && !f.resent {
			lost += f.len()
		}
	}
	if lost == 0 || lost != t.board.lost-t.board.resent {
		return false
	}
	t.board.markRangeLost(p.Left, p.Right)
	t.board.losses = before
	t.mustResend = true
	t.path.probeLost(now)
	t.stats.MTUProbesLost.Add(1)
	return true
}

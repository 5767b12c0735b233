package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// checkACK is the fifth step of RFC 9293 section 3.10.7.4. It says whether the
// segment goes on to the next one.
func (t *TCB) checkACK(now time.Time, s *segment.Segment) bool {
	if !t.ackAcceptable(now, s) {
		return false
	}
	t.heard(now, s)
	if t.state == SynReceived {
		if s.Has(segment.SYN) {
			t.crossedECN(s)
		}
		t.establish(s)
		if t.finQueued { // the user has closed in SYN-RECEIVED
			t.state = FinWait1
		}
	}
	t.acknowledge(now, s)
	t.updateWindow(now, s)

	switch t.state {
	case FinWait1:
		if t.FinAcked() {
			t.state = FinWait2
			if t.orphan {
				t.finWait2At = now.Add(t.cfg.FinWait2)
			}
		}
	case Closing:
		if t.FinAcked() {
			t.enterTimeWait()
		}
	case LastAck:
		if t.FinAcked() {
			t.fail(nil)
			return false
		}
	case TimeWait:
		// Only a retransmission of the peer's FIN can come: acknowledge it. The
		// table of the demultiplexer restarts the 2 MSL.
		if s.Has(segment.FIN) {
			t.ackNow = true
		}
	}
	return true
}

// ackAcceptable says whether s acknowledges what it may.
func (t *TCB) ackAcceptable(now time.Time, s *segment.Segment) bool {
	switch {
	case !s.Has(segment.ACK):
		t.stats.DropUnexpected.Add(1)
		return false
	case t.state == SynReceived:
		if !s.Ack.After(t.snd.una) || s.Ack.After(t.snd.nxt) {
			t.stats.DropBadACK.Add(1)
			t.reset(s.Ack)
			return false
		}
	case s.Ack.After(t.snd.nxt) || s.Ack.Before(t.snd.una.Add(-t.snd.maxWnd)):
		// RFC 5961 section 5.2: what is older than any window we have seen, or
		// newer than all that we have sent, is challenged.
		t.stats.DropBadACK.Add(1)
		t.challenge(now)
		return false
	}
	return true
}

// acknowledge moves SND.UNA, measures the round trip, and tells loss recovery
// and congestion control.
func (t *TCB) acknowledge(now time.Time, s *segment.Segment) {
	in := &t.told
	*in = recoverInput{flight: t.board.total, pipe: t.pipe(), echo: t.ecn.sends && s.Has(segment.ECE)}
	losses := t.board.losses
	w := t.witness(now, s)
	t.board.begin(&w)
	newData := s.Ack.After(t.snd.una)
	if newData {
		in.acked = t.board.ack(s.Ack, &w)
		t.advance(s.Ack)
		t.orphanDelivered(now, in.acked)
		t.pathAcked(now)
	}
	t.takeSACKs(s, &w)
	in.duplicate = !newData && t.isDuplicate(s)
	in.spurious = t.spurious(s, newData)
	sample := t.measure(now, s, newData)
	rate, round := t.delivery.arrived(now, &t.board.news, t.rtt.min, t.board.losses)
	t.recoverLoss(now, in)
	marked := t.heedEcho(now, s, max(in.flight, t.load.flight))
	if t.board.news.delivered > 0 || t.board.losses != losses {
		t.cc.Acked(congestion.Ack{
			Now: now, Acked: in.acked, Delivered: t.board.news.delivered, Lost: int(t.board.losses - losses),
			InFlight: t.pipe(), Before: in.pipe,
			RTT: sample, SRTT: t.rtt.srtt, MinRTT: t.rtt.min,
			Round: round, Limited: 2*t.load.pipe > t.cwnd(), Recovering: t.phase == recovering || in.left,
			CE: marked, Rate: rate,
		})
	}
	t.tuneSend()
	if newData {
		t.restartRTO(now)
	}
	t.scheduleLossProbe(now)
}

// witness is what s tells of when its cause was sent.
func (t *TCB) witness(now time.Time, s *segment.Segment) witness {
	return witness{
		now: now, minRTT: t.rtt.min, offset: t.tsOffset, behind: t.recover,
		echoed: t.timestamps && s.Opts.HasTimestamps && s.Opts.TSEcr != 0, echo: s.Opts.TSEcr,
	}
}

// advance moves SND.UNA.
func (t *TCB) advance(una segment.Seq) {
	t.snd.una = una
	t.recover = segment.Later(t.recover, una-1) // not left behind, or it would seem to lie ahead after 2^31 bytes
	t.sendq.discard(una)
	t.waiting.acknowledged(una)
	t.failingSince = time.Time{}
	t.softErr = nil
}

// takeSACKs updates the scoreboard with the blocks of s (RFC 6675 section 5).
func (t *TCB) takeSACKs(s *segment.Segment, w *witness) {
	t.dsack.seen = false
	if !t.sackOK {
		return
	}
	blocks := s.Opts.SACK[:s.Opts.SACKs]
	if t.takeDSACK(s.Ack, blocks) {
		blocks = blocks[1:]
	}
	for _, b := range blocks {
		// A block that is not inside of what is in flight is old, or nonsense.
		if !b.Left.Before(b.Right) || b.Left.Before(t.snd.una) || b.Right.After(t.snd.nxt) {
			continue
		}
		t.board.sack(b.Left, b.Right, w)
	}
	t.stats.IgnoredSACKs.Add(uint64(t.board.news.ignored))
}

// isDuplicate is the definition of a duplicate acknowledgement of RFC 5681
// section 2; with SACK it is one that tells something new (RFC 6675 section 2).
func (t *TCB) isDuplicate(s *segment.Segment) bool {
	if t.sackOK {
		return t.board.news.sacked > 0
	}
	if t.snd.wnd == 0 {
		return false // it answers a window probe
	}
	return !t.flightEmpty() && s.Len == 0 && s.Flags&(segment.SYN|segment.FIN) == 0 && s.Ack == t.snd.una &&
		int(s.Window)<<t.snd.scale == t.snd.wnd
}

// measure takes a round-trip time: from a flight that was sent once, or else
// from the timestamp that came back (RFC 7323 section 4). It returns the
// sample, or 0.
func (t *TCB) measure(now time.Time, s *segment.Segment, newData bool) (sample time.Duration) {
	once := t.board.news.once
	switch {
	case !once.IsZero():
		sample = max(now.Sub(once), 1)
	case newData && t.timestamps && s.Opts.HasTimestamps && s.Opts.TSEcr != 0:
		ms := int32(t.timestamp(now) - s.Opts.TSEcr)
		if ms < 0 || ms >= int32(maxRTO/time.Millisecond) {
			return 0
		}
		sample = max(time.Duration(ms)*time.Millisecond, 1)
	default:
		return 0
	}
	t.rtt.sample(now, sample)
	return sample
}

// updateWindow takes the window of a segment that is newer than the one which
// gave the last (RFC 9293 section 3.10.7.4). One that acknowledges more is
// newer, too, even if its text is sent again: without its window, the old one
// would move right with SND.UNA, beyond what the peer has allowed.
func (t *TCB) updateWindow(now time.Time, s *segment.Segment) {
	if s.Ack.Before(t.snd.una) {
		return
	}
	newer := t.snd.wl1.Before(s.Seq) || t.snd.wl1 == s.Seq && !t.snd.wl2.After(s.Ack) || s.Ack.After(t.snd.wl2)
	if !newer {
		return
	}
	was := t.snd.wnd
	t.snd.wnd = int(s.Window) << t.snd.scale
	t.snd.maxWnd = max(t.snd.maxWnd, t.snd.wnd)
	t.snd.wl1, t.snd.wl2 = segment.Later(t.snd.wl1, s.Seq), s.Ack
	switch {
	case t.snd.wnd == 0:
		// MUST-37: as long as the peer answers the probes, the connection stays.
		t.failingSince = time.Time{}
	case was == 0:
		t.windowOpened(now)
	}
}

// windowOpened resumes after a zero window: the probe's octets were refused,
// most likely, and the backoff was not the network's.
func (t *TCB) windowOpened(now time.Time) {
	t.rtt.backoff = 0
	t.persistAt = time.Time{}
	if t.board.flights.Len() > 0 {
		t.board.markFirstLost(t.snd.mss)
		t.mustResend = true
		t.rtoAt = now.Add(t.rtt.rto())
	}
}

// restartRTO is RFC 6298 (5.2) and (5.3).
func (t *TCB) restartRTO(now time.Time) {
	t.rtoAt = time.Time{}
	if t.board.flights.Len() > 0 {
		t.rtoAt = now.Add(t.rtt.rto())
	}
}

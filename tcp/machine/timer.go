package machine

import (
	"syscall"
	"time"
)

// Deadline is when expire has something to do; the zero time is never.
func (t *TCB) Deadline() time.Time { return Earliest(t.ownDeadline(), t.keepAliveAt) }

// ownDeadline is deadline without keep-alive.
func (t *TCB) ownDeadline() time.Time {
	d := Earliest(t.rtoAt, t.delayedACKAt)
	d = Earliest(d, t.persistAt)
	d = Earliest(d, t.finWait2At)
	d = Earliest(d, t.orphanBy)
	d = Earliest(d, t.probe.at)
	d = Earliest(d, t.pace.wake)
	d = Earliest(d, t.giveUpAt())
	return Earliest(d, t.detector.deadline())
}

func Earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Due says whether the instant at has come.
func Due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// Expire does what has come due (RFC 9293 section 3.10.8, and the timers of
// section 3.8).
func (t *TCB) Expire(now time.Time) {
	if Due(t.giveUpAt(), now) {
		t.giveUp()
		return
	}
	if Due(t.delayedACKAt, now) {
		t.delayedACKAt = time.Time{}
		t.ackNow, t.quick.answers = true, false // the user has not answered
		t.stats.DelayedACKs.Add(1)
	}
	if Due(t.pace.wake, now) {
		t.pace.wake = time.Time{}
	}
	if Due(t.detector.deadline(), now) {
		t.expireDetector(now)
	}
	if Due(t.probe.at, now) {
		t.expireLossProbe(now)
	}
	if Due(t.rtoAt, now) {
		t.expireRTO(now)
	}
	if Due(t.persistAt, now) {
		t.expirePersist(now)
	}
	if Due(t.keepAliveAt, now) {
		t.expireKeepAlive(now)
	}
	if Due(t.finWait2At, now) {
		t.fail(nil)
	}
	if Due(t.orphanBy, now) {
		t.expireOrphan()
	}
}

func (t *TCB) stopTimers() {
	t.rtoAt, t.persistAt, t.delayedACKAt = time.Time{}, time.Time{}, time.Time{}
	t.keepAliveAt, t.finWait2At = time.Time{}, time.Time{}
	t.orphanEnded()
	t.probe.end()
	t.pace.wake = time.Time{}
	t.detector.stop()
}

// expireRTO is the retransmission timer (section 3.8.1).
func (t *TCB) expireRTO(now time.Time) {
	if t.board.flights.Len() == 0 {
		t.rtoAt = time.Time{}
		return
	}
	if t.orphanStuck() {
		return
	}
	if t.state == SynSent || t.state == SynReceived {
		t.stats.SynRetransmits.Add(1)
		t.synResent = true
	}
	t.retransmissionTimedOut(now)
	t.timedOut()
	t.rtoAt = now.Add(t.rtt.rto())
}

// Blocked is called when output has nothing. When text waits while nothing is
// in flight, only the peer's window or the avoidance of silly windows can hold
// it, and no acknowledgement will come that frees it: then the persist timer
// runs (section 3.8.6.1, MUST-36, SHLD-29; the override timeout of section
// 3.8.6.2.1).
//
// It says whether this connection has grown while all together hold too much.
func (t *TCB) Blocked(now time.Time) (pressing bool) {
	if t.state == Closed {
		return false
	}
	pressing = t.account()
	t.waitForPace(now)
	if t.sendq.end() == t.snd.nxt && t.pipe() < t.cwnd() && t.board.lost == t.board.resent {
		t.delivery.userLimits(t.pipe())
	}
	if !t.persistAt.IsZero() || !t.flightEmpty() || !t.state.sendsText() || !t.pace.wake.IsZero() {
		return pressing
	}
	if t.sendq.end() != t.snd.nxt || t.finQueued && !t.finSent() {
		t.persistAt = now.Add(t.rtt.rto())
	}
	return pressing
}

func (t *TCB) expirePersist(now time.Time) {
	t.persistAt = time.Time{}
	if !t.flightEmpty() || t.orphanStuck() {
		return
	}
	t.force = true
}

// expireKeepAlive sends a probe that the peer must answer, and gives up after
// some of them (section 3.8.4, MUST-29).
func (t *TCB) expireKeepAlive(now time.Time) {
	t.keepAliveAt = time.Time{}
	if !t.opts.KeepAlive || !t.state.synchronized() {
		return
	}
	if t.keepAlives >= t.opts.KeepAliveCount {
		t.Abort(syscall.ETIMEDOUT)
		return
	}
	t.keepAliveAt = now.Add(t.opts.KeepAliveInterval)
	if !t.flightEmpty() {
		return // retransmissions are probe enough
	}
	t.keepAlives++
	t.stats.KeepAliveProbes.Add(1)
	t.makeSegment(now, &t.reply, t.snd.nxt-1, 0) // SHLD-12: without text
	t.replies = true
}

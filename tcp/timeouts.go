package tcp

import (
	"syscall"
	"time"
)

// deadline is when expire has something to do; the zero time is never.
func (t *tcb) deadline() time.Time { return earliest(t.ownDeadline(), t.keepAliveAt) }

// ownDeadline is deadline without keep-alive.
func (t *tcb) ownDeadline() time.Time {
	d := earliest(t.rtoAt, t.delayedACKAt)
	d = earliest(d, t.persistAt)
	d = earliest(d, t.finWait2At)
	d = earliest(d, t.orphanBy)
	d = earliest(d, t.probe.at)
	d = earliest(d, t.pace.wake)
	d = earliest(d, t.giveUpAt())
	return earliest(d, t.detector.deadline())
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// due says whether the instant at has come.
func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// expire does what has come due (RFC 9293 section 3.10.8, and the timers of
// section 3.8).
func (t *tcb) expire(now time.Time) {
	if due(t.giveUpAt(), now) {
		t.giveUp()
		return
	}
	if due(t.delayedACKAt, now) {
		t.delayedACKAt = time.Time{}
		t.ackNow, t.quick.answers = true, false // the user has not answered
		t.stats.DelayedACKs.Add(1)
	}
	if due(t.pace.wake, now) {
		t.pace.wake = time.Time{}
	}
	if due(t.detector.deadline(), now) {
		t.expireDetector(now)
	}
	if due(t.probe.at, now) {
		t.expireLossProbe(now)
	}
	if due(t.rtoAt, now) {
		t.expireRTO(now)
	}
	if due(t.persistAt, now) {
		t.expirePersist(now)
	}
	if due(t.keepAliveAt, now) {
		t.expireKeepAlive(now)
	}
	if due(t.finWait2At, now) {
		t.fail(nil)
	}
	if due(t.orphanBy, now) {
		t.expireOrphan()
	}
}

func (t *tcb) stopTimers() {
	t.rtoAt, t.persistAt, t.delayedACKAt = time.Time{}, time.Time{}, time.Time{}
	t.keepAliveAt, t.finWait2At = time.Time{}, time.Time{}
	t.orphanEnded()
	t.probe.end()
	t.pace.wake = time.Time{}
	t.detector.stop()
}

// expireRTO is the retransmission timer (section 3.8.1).
func (t *tcb) expireRTO(now time.Time) {
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

// blocked is called when output has nothing. When text waits while nothing is
// in flight, only the peer's window or the avoidance of silly windows can hold
// it, and no acknowledgement will come that frees it: then the persist timer
// runs (section 3.8.6.1, MUST-36, SHLD-29; the override timeout of section
// 3.8.6.2.1).
//
// It says whether this connection has grown while all together hold too much.
func (t *tcb) blocked(now time.Time) (pressing bool) {
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

func (t *tcb) expirePersist(now time.Time) {
	t.persistAt = time.Time{}
	if !t.flightEmpty() || t.orphanStuck() {
		return
	}
	t.force = true
}

// expireKeepAlive sends a probe that the peer must answer, and gives up after
// some of them (section 3.8.4, MUST-29).
func (t *tcb) expireKeepAlive(now time.Time) {
	t.keepAliveAt = time.Time{}
	if !t.opts.keepAlive || !t.state.synchronized() {
		return
	}
	if t.keepAlives >= t.opts.keepAliveCount {
		t.abort(syscall.ETIMEDOUT)
		return
	}
	t.keepAliveAt = now.Add(t.opts.keepAliveInterval)
	if !t.flightEmpty() {
		return // retransmissions are probe enough
	}
	t.keepAlives++
	t.stats.KeepAliveProbes.Add(1)
	t.makeSegment(now, &t.reply, t.snd.nxt-1, 0) // SHLD-12: without text
	t.replies = true
}

package tcp

import "time"

// A connection over which nothing goes, and which waits for nothing, needs little:
// after a while it is parked, and gives up its queues and all that is known of what
// was in flight. A segment for it, a call of its user, or its keep-alive timer
// unparks it.

// quiet says whether the connection waits for nothing but a segment, a call, or
// the time to ask the peer whether it is still there.
func (t *tcb) quiet() bool {
	return t.state == Established && !t.finQueued && !t.orphan && t.fastOpen == nil &&
		t.flightEmpty() && t.sendq.len == 0 && t.phase == steady &&
		t.recvq.readyLen == 0 && len(t.recvq.ahead) == 0 &&
		!t.ackNow && t.ackPending == 0 && !t.replies && t.ownDeadline().IsZero() && t.keepAlives == 0
}

// park gives up what a quiet connection does not need.
func (t *tcb) park() *activity {
	a := t.activity
	t.account() // nothing is held
	t.kept = kept{a.board.losses, a.delivery.total, a.sendq.limit, a.recvq.limit}
	t.activity = nil
	return a
}

// unpark is its opposite, with an activity that is as if new. As the user has sent
// nothing, the next samples of the rate say what he sends, and not what the network
// carries.
func (t *tcb) unpark(a *activity) {
	t.activity = a
	t.board.losses = t.kept.lost
	t.sendq.first, t.sendq.limit, t.sendq.unit = t.snd.nxt, t.kept.sendLimit, t.trainLen()
	t.recvq.limit = t.kept.receiveLimit
	t.detector, _ = newDetector(t.opts.recovery, t.sackOK) // the name has been checked
	t.recover = t.snd.una - 1
	t.delivery.total = t.kept.delivered
	t.delivery.userLimits(0)
}

// parked says whether the connection is.
func (c *Conn) parked() bool { return c.t.activity == nil }

// parkAt is when the connection may be parked, if nothing happens; the zero time is
// never.
func (c *Conn) parkAt() time.Time {
	if c.t.cfg.SleepAfter < 0 || c.queued || c.writing || !c.t.quiet() {
		return time.Time{}
	}
	last := c.activeAt
	for _, at := range [...]time.Time{c.t.lastHeard, c.t.lastSent} {
		if at.After(last) {
			last = at
		}
	}
	return last.Add(c.t.cfg.SleepAfter)
}

// park parks the connection. The timer is that for keep-alive then.
func (c *Conn) park(now time.Time) {
	c.stopTimer()
	if at := c.t.keepAliveAt; !at.IsZero() {
		c.timerAt = at
		c.timer = time.AfterFunc(at.Sub(now), c.expire)
	}
	putActivity(c.shared.activities, c.t.park())
}

// unpark makes sure that the connection is not parked.
func (c *Conn) unpark() {
	if !c.parked() {
		return
	}
	c.t.unpark(takeActivity(c.shared.activities))
	c.t.keepAliveAt = c.timerAt
	c.t.stats.Woken.Add(1)
	c.activeAt = time.Now()
}

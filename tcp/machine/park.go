package machine

import "time"

// A connection over which nothing goes, and which waits for nothing, needs little:
// after a while it is parked, and gives up its queues and all that is known of what
// was in flight. A segment for it, a call of its user, or its keep-alive timer
// unparks it.

// Quiet says whether the connection waits for nothing but a segment, a call, or
// the time to ask the peer whether it is still there.
func (t *TCB) Quiet() bool {
	return t.state == Established && !t.finQueued && !t.orphan && t.fastOpen == nil &&
		t.flightEmpty() && t.sendq.len == 0 && t.phase == steady &&
		t.recvq.readyLen == 0 && len(t.recvq.ahead) == 0 &&
		!t.ackNow && t.ackPending == 0 && !t.replies && t.ownDeadline().IsZero() && t.keepAlives == 0
}

// Parked says whether the connection is.
func (t *TCB) Parked() bool { return t.Transfer == nil }

// ParkAt is when the connection may be parked, if nothing happens; the zero time is
// never. Active is when it was last unparked.
func (t *TCB) ParkAt(active time.Time) time.Time {
	if t.cfg.ParkAfter < 0 || !t.Quiet() {
		return time.Time{}
	}
	return latest(active, latest(t.lastHeard, t.lastSent)).Add(t.cfg.ParkAfter)
}

// Park gives up what a quiet connection does not need. It returns that, and when
// the keep-alive timer expires, if it runs: a parked connection has no timer.
func (t *TCB) Park() (a *Transfer, keepAliveAt time.Time) {
	a, keepAliveAt = t.Transfer, t.keepAliveAt
	t.account() // nothing is held
	t.kept = kept{a.board.losses, a.delivery.total, a.sendq.limit, a.recvq.limit}
	t.Transfer = nil
	return a, keepAliveAt
}

// Unpark is its opposite, with a transfer state that is as if new. As the user has sent
// nothing, the next samples of the rate say what he sends, and not what the network
// carries.
func (t *TCB) Unpark(a *Transfer, keepAliveAt time.Time) {
	t.Transfer = a
	t.keepAliveAt = keepAliveAt
	t.board.losses = t.kept.lost
	t.sendq.first, t.sendq.limit, t.sendq.unit = t.snd.nxt, t.kept.sendLimit, t.trainLen()
	t.recvq.limit = t.kept.receiveLimit
	t.detector, _ = newDetector(t.opts.Recovery, t.sackOK, &t.rack) // the name has been checked
	t.recover = t.snd.una - 1
	t.delivery.total = t.kept.delivered
	t.delivery.userLimits(0)
}

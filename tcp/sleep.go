package tcp

import "time"

// A connection over which nothing goes, and which waits for nothing, needs no
// process: after a while its process ends, and leaves the state to the
// demultiplexer. A segment for it, a call of its user, or its keep-alive timer
// begins another one.
// So the cost of a goroutine, with its stack, timer and inbox, is only that of
// the connections at work.

// quiet says whether the connection waits for nothing but a segment, a call, or
// the time to ask the peer whether it is still there.
func (t *tcb) quiet() bool {
	return t.state == Established && !t.finQueued && !t.orphan && t.fastOpen == nil &&
		t.flightEmpty() && t.sendq.len == 0 && t.phase == steady &&
		t.recvq.readyLen == 0 && len(t.recvq.ahead) == 0 &&
		!t.ackNow && t.ackPending == 0 && !t.replies && t.ownDeadline().IsZero() && t.keepAlives == 0
}

// rest gives up what a quiet connection does not need.
func (t *tcb) rest() *activity {
	a := t.activity
	t.account() // nothing is held
	t.kept = kept{a.board.losses, a.delivery.total, a.sendq.limit, a.recvq.limit}
	t.activity = nil
	return a
}

// rise is its opposite, with an activity that is as if new. As the user has sent
// nothing, the next samples of the rate say what he sends, and not what the network
// carries.
func (t *tcb) rise(a *activity) {
	t.activity = a
	t.board.losses = t.kept.lost
	t.sendq.first, t.sendq.limit, t.sendq.unit = t.snd.nxt, t.kept.sendLimit, t.trainLen()
	t.recvq.limit = t.kept.receiveLimit
	t.detector, _ = newDetector(t.opts.recovery, t.sackOK) // the name has been checked
	t.recover = t.snd.una - 1
	t.delivery.total = t.kept.delivered
	t.delivery.userLimits(0)
}

// bedtime is when the process may go to sleep, if nothing happens; the zero
// time is never.
func (p *process) bedtime() time.Time {
	if p.t.cfg.SleepAfter < 0 || p.pending.b != nil || !p.t.quiet() {
		return time.Time{}
	}
	last := p.began
	for _, at := range [...]time.Time{p.t.lastHeard, p.t.lastSent} {
		if at.After(last) {
			last = at
		}
	}
	return last.Add(p.t.cfg.SleepAfter)
}

// sleep ends the process, and gives the state to the demultiplexer. From here
// on calls do not wait for this process, but wake another one.
func (p *process) sleep() {
	p.timer.Stop()
	p.t.stats.Slept.Add(1)
	p.move(unstaffed())
	p.notices <- notice{flow: p.flow, slept: p}
}

// wake has the demultiplexer begin a process for a connection that sleeps at
// the desk k, and returns when it has another desk: that of the process, or of
// its end.
func (c *Conn) wake(k *desk) {
	select {
	case c.notices <- notice{flow: c.flow, wakes: c}:
		<-k.left
	case <-k.left:
	}
}

// slept takes the state of a connection whose process has gone to sleep. If it
// was wanted in the meantime, there is a new process at once.
func (d *demux) slept(n notice) {
	p, h := n.slept, d.conns[n.flow]
	d.running--
	if h.conn.wanted || len(h.in) > 0 || d.closing {
		d.spawn(p, h.conn, p.t, nil)
		return
	}
	d.rest(h.conn, p.t)
	d.dismiss(p)
}

// rest keeps the state of a connection without a process.
func (d *demux) rest(c *Conn, t *tcb) {
	if !t.keepAliveAt.IsZero() {
		d.keepAlives.add(c, t.keepAliveAt)
	}
	d.spares.putActivity(t.rest())
	c.state = t
	d.conns[c.flow] = handle{conn: c}
}

// wake gives a sleeping connection a process, and returns how it is reached.
func (d *demux) wake(h handle) handle {
	t := h.conn.state
	h.conn.state = nil
	t.rise(d.spares.activities.take())
	t.keepAliveAt = d.keepAlives.remove(h.conn)
	d.stats.Woken.Add(1)
	return d.spawn(d.process(), h.conn, t, nil)
}

// wanted is a call of the user's, who has found no process.
func (d *demux) wanted(c *Conn) {
	switch h := d.conns[c.flow]; {
	case h.conn != c: // it has ended
	case h.asleep():
		d.wake(h)
	default:
		c.wanted = true // it has only begun to sleep, or is awake again
	}
}

// asleep says whether the connection has no process.
func (h handle) asleep() bool { return h.in == nil }

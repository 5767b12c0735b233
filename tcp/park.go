package tcp

import "time"

// parked says whether the connection is.
func (c *Conn) parked() bool { return c.t.Parked() }

// parkAt is when the connection may be parked, if nothing happens; the zero time is
// never.
func (c *Conn) parkAt() time.Time {
	if c.queued || c.writing {
		return time.Time{}
	}
	return c.t.ParkAt(c.activeAt)
}

// park parks the connection. The timer is that for keep-alive then.
func (c *Conn) park(now time.Time) {
	c.stopTimer()
	a, at := c.t.Park()
	if !at.IsZero() {
		c.timerAt = at
		c.timer = time.AfterFunc(at.Sub(now), c.expire)
	}
	c.shared.transfers.Put(a)
}

// unpark makes sure that the connection is not parked.
func (c *Conn) unpark() {
	if !c.parked() {
		return
	}
	c.t.Unpark(c.shared.transfers.Take(), c.timerAt)
	c.shared.stats.Unparked.Add(1)
	c.activeAt = time.Now()
}

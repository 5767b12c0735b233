package link

import (
	"math"
	"math/rand/v2"
	"time"
)

// CoDel is controlled delay (RFC 8289): frames are dropped as they leave, when
// for a whole Interval none has waited for less than Target.
type CoDel struct {
	// Target is how long a frame may wait when the queue is as it should be. 0
	// means 5 ms (RFC 8289 section 4.3).
	Target time.Duration

	// Interval is about the longest round trip. 0 means 100 ms (section 4.2).
	Interval time.Duration

	// ECN marks frames of senders that understand it, rather than drop them.
	ECN bool
}

func (c CoDel) manage(int64, *rand.Rand) manager {
	if c.Target <= 0 {
		c.Target = 5 * time.Millisecond
	}
	if c.Interval <= 0 {
		c.Interval = 100 * time.Millisecond
	}
	m := &codel{cfg: c, verdict: drop}
	if c.ECN {
		m.verdict = mark
	}
	return m
}

// codel is the state of RFC 8289 section 5.2, with its names.
type codel struct {
	cfg     CoDel
	verdict verdict // on a frame that would be dropped

	firstAbove time.Duration // first_above_time_: when it will have been too long for an Interval; 0 is none
	dropNext   time.Duration // drop_next_
	count      int           // count_: drops since dropping began
	lastCount  int           // lastcount_: count when it began
	dropping   bool

	dropped bool // the frame before has just been dropped, in the dropping state
	entered bool // and with it dropping has begun
}

// oneFrame is maxpacket of RFC 8289 section 5.3, in bytes: a queue of no more
// is none.
const oneFrame = ethernetLen + DefaultMTU

func (c *codel) arrives(time.Duration, *backlog, int) verdict { return pass }

// leaves is dequeue of RFC 8289 section 5.5, one frame a call.
func (c *codel) leaves(now time.Duration, q *backlog, since time.Duration) verdict {
	ok := c.okToDrop(now, q, since)
	if c.entered { // this is the frame behind the first that was dropped: it goes
		c.entered = false
		return pass
	}
	if c.dropped { // the loop of dequeue, behind its drop
		c.dropped = false
		if ok {
			c.dropNext = c.controlLaw(c.dropNext)
		}
	}
	switch {
	case c.dropping && !ok:
		c.dropping = false
	case c.dropping && now >= c.dropNext:
		c.count++
		return c.sentence()
	case !c.dropping && ok:
		return c.enter(now)
	}
	return pass
}

// okToDrop is the test in dodequeue of RFC 8289 section 5.6.
func (c *codel) okToDrop(now time.Duration, q *backlog, since time.Duration) bool {
	if now-since < c.cfg.Target || q.bytes <= oneFrame {
		c.firstAbove = 0
		return false
	}
	if c.firstAbove == 0 {
		c.firstAbove = now + c.cfg.Interval
		return false
	}
	return now >= c.firstAbove
}

// enter begins to drop. Where the last time is not long ago, the rate of drops
// goes on from there.
func (c *codel) enter(now time.Duration) verdict {
	c.dropping = true
	delta := c.count - c.lastCount
	c.count = 1
	if delta > 1 && now-c.dropNext < 16*c.cfg.Interval {
		c.count = delta
	}
	c.dropNext = c.controlLaw(now)
	c.lastCount = c.count
	c.entered = c.verdict == drop
	return c.verdict
}

// sentence is the verdict on a frame in the dropping state. A frame that is
// marked is sent, so the next drop is due by its time already.
func (c *codel) sentence() verdict {
	if c.verdict == mark {
		c.dropNext = c.controlLaw(c.dropNext)
	} else {
		c.dropped = true
	}
	return c.verdict
}

// controlLaw is that of RFC 8289 section 5.6: the drops come closer by the
// square root of their number.
func (c *codel) controlLaw(t time.Duration) time.Duration {
	return t + time.Duration(float64(c.cfg.Interval)/math.Sqrt(float64(c.count)))
}

// emptied has nothing to do: the last frame found no others behind it.
func (c *codel) emptied(time.Duration) {}

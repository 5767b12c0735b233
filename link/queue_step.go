package link

import (
	"math/rand/v2"
	"time"
)

// Step marks each frame that finds so many in the queue, if its sender
// understands marks: what DCTCP asks of a switch (RFC 8257 section 3.1). Others
// wait with them until the queue is full.
type Step struct {
	// Frames is the threshold. 0 means 65, as in the paper that RFC 8257 goes
	// back to, at 10 Gbit/s.
	Frames int
}

func (c Step) manage(int64, *rand.Rand) manager {
	if c.Frames <= 0 {
		c.Frames = 65
	}
	return step(c.Frames)
}

type step int

func (s step) arrives(_ time.Duration, q *backlog, _ int) verdict {
	if q.len() >= int(s) {
		return hint
	}
	return pass
}

func (s step) leaves(time.Duration, *backlog, time.Duration) verdict { return pass }
func (s step) emptied(time.Duration)                                 {}

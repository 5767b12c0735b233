package tap

import "time"

// DefaultBusyPoll is a few times as long as it takes to wake a CPU that sleeps,
// the client's, where machines are virtual.
const DefaultBusyPoll = 200 * time.Microsecond

// A busyPoll decides whether a reader who finds nothing shall ask again for a
// while before he waits to be woken. To be woken takes longer than many a
// request and its answer, but a CPU that asks in vain is taken from others. So
// he goes on asking while it pays, two times in three at least: each time that it
// did not, the pause until he tries again becomes four times as long, and each
// time that it did, half as long.
type busyPoll struct {
	pause int // reads from one try to the next
	left  int // of those
}

// longestPause bounds the pause, in reads: where client and server have one CPU
// between them nothing can come while one of them asks.
const longestPause = 4096

// due says whether this read may ask again.
func (p *busyPoll) due() bool {
	if p.left > 0 {
		p.left--
		return false
	}
	return true
}

// done notes how it went.
func (p *busyPoll) done(paid bool) {
	if paid {
		p.pause /= 2
	} else {
		p.pause = min(max(4*p.pause, 1), longestPause)
	}
	p.left = p.pause
}

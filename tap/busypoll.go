package tap

import "time"

// DefaultBusyPoll is a few times as long as it takes to wake an idle CPU, that of the
// client, in a virtual machine.
const DefaultBusyPoll = 200 * time.Microsecond

// A busyPoll decides whether a reader that finds no frame polls the device for a
// while before it sleeps. A wake-up takes longer than many a request and its
// answer, but polling in vain takes CPU time from others. So the reader polls while
// that succeeds, two times in three at least: after each failure the pause until
// it polls again becomes four times as long, and after each success half as long.
type busyPoll struct {
	pause int // reads from one try to the next
	left  int // of those
}

// longestPause bounds the pause, in reads: where client and server share one CPU
// nothing can arrive while one of them polls.
const longestPause = 4096

// due says whether this read may poll.
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

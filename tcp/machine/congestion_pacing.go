package machine

import "time"

// pace spreads segments over time at the rate that congestion control asks
// for (draft-ietf-ccwg-bbr section 5.6.2): after each, the next waits for as
// long as it takes at that rate.
type pace struct {
	next time.Time // the next segment goes no sooner
	wake time.Time // when expire lets it go; zero when nothing waits for it
}

// quantum is how long a train at the pacing rate may be. Timers are no finer,
// and longer trains cost less.
const quantum = time.Millisecond

// paced says whether the pace forbids to send now.
func (t *TCB) paced(now time.Time) bool {
	return t.pace.next.After(now) && t.cc.PacingRate() > 0
}

// paceTrain is the longest train that the pace allows, in bytes.
func (t *TCB) paceTrain() int {
	rate := t.cc.PacingRate()
	if rate <= 0 {
		return t.maxTrain()
	}
	return min(t.maxTrain(), max(2*t.snd.mss, wholeSegments(int(min(rate*quantum.Seconds(), maxText)), t.snd.mss)))
}

// paceSent notes that n bytes are on their way. What a timer was late by is
// made good, up to a quantum.
func (t *TCB) paceSent(now time.Time, n int) {
	rate := t.cc.PacingRate()
	if rate <= 0 {
		return
	}
	t.pace.next = latest(t.pace.next, now.Add(-quantum)).Add(time.Duration(float64(n) / rate * float64(time.Second)))
}

// waitForPace sets the timer when text waits for nothing but the pace.
func (t *TCB) waitForPace(now time.Time) {
	t.pace.wake = time.Time{}
	if _, lost := t.board.nextLost(); t.paced(now) && (lost || t.sendq.end() != t.snd.nxt) {
		t.pace.wake = t.pace.next
	}
}

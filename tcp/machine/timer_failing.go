package machine

import "time"

// r1 is how many timeouts in a row are taken as a sign that the path to the
// peer has failed: R1 of RFC 9293 section 3.8.3, three at least (SHLD-10). R2,
// after which the connection is given up, is a time: Config.UserTimeout.
const r1 = 3

// A failure counts the timeouts of a peer that does not answer.
type failure struct {
	since    time.Time // the TCB's failingSince that they belong to
	timeouts int
	advise   bool // the network layer is to be told
}

// timedOut counts a timeout. At R1 the network layer is to be advised that the
// path seems dead, so that it looks for another one, and the user is told
// (MUST-20, MUST-22, SHLD-9).
func (t *TCB) timedOut() {
	f := &t.failure
	if !f.since.Equal(t.failingSince) {
		*f = failure{since: t.failingSince}
	}
	if f.timeouts++; f.timeouts == r1 {
		f.advise = true
		t.signal.Failing = true
	}
}

// TakeAdvice says whether the network layer is to be told that the path seems dead,
// once each time.
func (t *TCB) TakeAdvice() bool {
	advise := t.failure.advise
	t.failure.advise = false
	return advise
}

// failing says whether R1 has been reached, and no answer has come since.
func (t *TCB) failing() bool {
	return !t.failingSince.IsZero() && t.failure.since.Equal(t.failingSince) && t.failure.timeouts >= r1
}

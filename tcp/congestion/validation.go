package congestion

import "time"

// nonvalidatedPeriod is for how long a window is kept that is not used (RFC
// 7661 section 5).
const nonvalidatedPeriod = 5 * time.Minute

// validation tells how much of the window was really used (RFC 7661), so that
// a sender limited by its application keeps its window for a while, and pays
// for it when that was wrong.
type validation struct {
	parts   [4]int    // the largest samples of pipeACK, in each quarter of the sampling period
	begun   time.Time // of the newest quarter
	round   int       // bytes delivered in the round trip that is being measured; the next sample
	since   time.Time // when the nonvalidated phase began, or was last paid for
	started bool      // round holds all of its round trip
	defined bool      // there was a sample since the beginning or the last recovery

	nonvalidated bool // the nonvalidated phase: less than half of the window was used

	flight int // max(pipeACK, LossFlightSize) while a loss of the nonvalidated phase is repaired; otherwise 0
	resent int // R: bytes sent again meanwhile
}

// acked measures pipeACK (section 4.2): what is delivered in a round trip. It
// stands still during recovery.
func (v *validation) acked(a Ack, cwnd int) {
	if a.Recovering {
		v.started = false
		return
	}
	v.advance(a.Now, a.SRTT)
	if a.Round {
		if v.started {
			last := len(v.parts) - 1
			v.parts[last] = max(v.parts[last], v.round)
			v.defined = true
		}
		v.started, v.round = true, 0
	}
	v.round = min(v.round+a.Delivered, Unlimited)
	v.decide(a, cwnd)
}

// decide is section 4.3. In slow start the window doubles while its first half
// is acknowledged, and for a time pipeACK is less than a half of it; who uses
// all of the window does not enter the nonvalidated phase by that, though by
// section 4.4 it would, and would still grow.
func (v *validation) decide(a Ack, cwnd int) {
	switch {
	case !v.defined || 2*v.pipeACK() >= cwnd:
		v.nonvalidated = false
	case !v.nonvalidated && !a.Limited:
		v.nonvalidated, v.since = true, a.Now
	}
}

// pipeACK is the largest of the last samples, and of the one being measured.
func (v *validation) pipeACK() int {
	n := v.round
	for _, sample := range v.parts {
		n = max(n, sample)
	}
	return n
}

// advance forgets samples older than the sampling period (section 4.2).
func (v *validation) advance(now time.Time, srtt time.Duration) {
	quarter := max(3*min(srtt, time.Minute), time.Second) / time.Duration(len(v.parts))
	passed := now.Sub(v.begun) / quarter
	if passed >= time.Duration(len(v.parts)) {
		clear(v.parts[:])
		v.begun = now
		return
	}
	for ; passed > 0; passed-- {
		copy(v.parts[:], v.parts[1:])
		v.parts[len(v.parts)-1] = 0
		v.begun = v.begun.Add(quarter)
	}
}

// idled forgets what was in use before the pause, which took d.
func (v *validation) idled(now time.Time, d, srtt time.Duration) {
	v.advance(now, srtt)
	v.started, v.round = false, 0
	if !v.nonvalidated {
		v.nonvalidated, v.since = true, now.Add(-max(0, d))
	}
	v.defined = true
}

// expired says that the window was kept for a period more without being used.
func (v *validation) expired(now time.Time) bool {
	if !v.nonvalidated || now.Sub(v.since) < nonvalidatedPeriod {
		return false
	}
	v.since = v.since.Add(nonvalidatedPeriod)
	return true
}

// used is how much of the window counts when congestion shows: FlightSize, and
// in the nonvalidated phase pipeACK if that was more (section 4.4.1). Limited
// transmit may have sent more than the window, which does not count (RFC 5681
// section 3.2 (2)).
func (v *validation) used(l Loss, cwnd int) int {
	n := l.Flight
	if v.nonvalidated && v.defined {
		n = max(n, v.pipeACK())
	}
	return max(0, min(n, cwnd))
}

// lost is used, and remembers it for the end of the recovery.
func (v *validation) lost(l Loss, cwnd int) int {
	n := v.used(l, cwnd)
	v.flight, v.resent = 0, 0
	if v.nonvalidated {
		v.flight = n
	}
	return n
}

// sent counts what is sent again while the loss is repaired.
func (v *validation) sent(s Sent) {
	if v.flight > 0 && s.Again {
		v.resent = min(v.resent+s.Bytes, v.flight)
	}
}

// recovered is what of the unvalidated window has arrived; 0 when nothing was
// lost in the nonvalidated phase. pipeACK becomes undefined.
func (v *validation) recovered() int {
	n := 0
	if v.flight > 0 {
		n = max(1, v.flight-v.resent)
	}
	v.reset()
	return n
}

// reset makes pipeACK undefined, until there is a new sample.
func (v *validation) reset() { *v = validation{} }

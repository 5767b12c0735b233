package tcp

import "time"

// rtt estimates the round-trip time and from it the retransmission timeout
// (RFC 6298).
type rtt struct {
	srtt, rttvar time.Duration
	latest, min  time.Duration
	base         time.Duration // RTO before backoff
	backoff      uint          // how often it has been doubled (5.5)
	floor        time.Duration // lower bound
}

const (
	initialRTO = time.Second      // (2.1)
	maxRTO     = 60 * time.Second // (2.5)
	minGrain   = time.Millisecond // G: the clock is finer, timers of a busy machine are not
)

func newRTT(floor time.Duration) rtt { return rtt{base: initialRTO, floor: floor} }

// sample takes a measurement R of a segment that was sent only once (Karn;
// section 3), and ends the backoff.
func (r *rtt) sample(R time.Duration) {
	R = max(R, 1)
	r.latest = R
	if r.min == 0 || R < r.min {
		r.min = R
	}
	if r.srtt == 0 { // (2.2)
		r.srtt, r.rttvar = R, R/2
	} else { // (2.3), with alpha 1/8 and beta 1/4
		r.rttvar += (abs(r.srtt-R) - r.rttvar) / 4
		r.srtt += (R - r.srtt) / 8
	}
	r.setBase()
	r.backoff = 0
}

func (r *rtt) setBase() {
	r.base = min(max(r.srtt+max(minGrain, 4*r.rttvar), r.floor), maxRTO)
}

// lengthen is for a timeout that came too early: the last sample counts at
// least as much as all before it (RFC 4015 section 3.4, (9)).
func (r *rtt) lengthen() {
	r.srtt = max(r.srtt, r.latest)
	r.rttvar = max(r.rttvar, r.latest/2)
	r.setBase()
}

// rto is the timeout with its backoff.
func (r *rtt) rto() time.Duration {
	const enough = 16 // base is a millisecond at least
	return min(r.base<<min(r.backoff, enough), maxRTO)
}

func abs(d time.Duration) time.Duration { return max(d, -d) }

package machine

import "time"

// rtt estimates the round-trip time and from it the retransmission timeout
// (RFC 6298).
type rtt struct {
	srtt, rttvar time.Duration
	latest       time.Duration
	min          time.Duration // of the last minWindow to 2*minWindow
	minNext      time.Duration // since minSince
	minSince     time.Time
	base         time.Duration // RTO before backoff
	backoff      uint          // how often it has been doubled (5.5)
	floor        time.Duration // lower bound
	probed       bool          // since the last sample a loss probe went out
}

const (
	initialRTO = time.Second      // (2.1)
	maxRTO     = 60 * time.Second // (2.5)
	minGrain   = time.Millisecond // G: the clock is finer, timers of a busy machine are not
	minWindow  = 5 * time.Minute  // a path may become longer (RFC 8985 section 6.2 step 1)
)

func newRTT(floor time.Duration) rtt { return rtt{base: initialRTO, floor: floor} }

// sample takes a measurement R of a segment that was sent only once (Karn;
// section 3), and ends the backoff.
func (r *rtt) sample(now time.Time, R time.Duration) {
	R = max(R, 1)
	r.latest = R
	r.updateMin(now, R)
	if r.srtt == 0 { // (2.2)
		r.srtt, r.rttvar = R, R/2
	} else { // (2.3), with alpha 1/8 and beta 1/4
		r.rttvar += (abs(r.srtt-R) - r.rttvar) / 4
		r.srtt += (R - r.srtt) / 8
	}
	r.setBase()
	r.backoff = 0
	r.probed = false
}

func (r *rtt) setBase() {
	r.base = min(max(r.srtt+max(minGrain, 4*r.rttvar), r.floor), maxRTO)
}

// updateMin keeps the least sample of a window that moves.
func (r *rtt) updateMin(now time.Time, R time.Duration) {
	if r.min == 0 {
		r.min, r.minNext, r.minSince = R, R, now
	}
	if now.Sub(r.minSince) > minWindow {
		r.min, r.minNext, r.minSince = r.minNext, R, now
	}
	r.min, r.minNext = min(r.min, R), min(r.minNext, R)
}

// lengthen is for a timeout that came too early: the last sample counts at
// least as much as all before it (RFC 4015 section 3.6).
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

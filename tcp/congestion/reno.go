package congestion

import "time"

// What is left of the window after a sign of congestion.
const (
	betaReno    = 0.5 // RFC 5681 section 3.1
	betaRenoECN = 0.8 // RFC 8511 section 3: a queue that marks is short, so half would be too much
)

// Reno is slow start and congestion avoidance by RFC 5681, with the
// validation of unused windows by RFC 7661. The other controllers of this
// package that have a window of this kind are made from it.
type Reno struct {
	MSS      int // bytes of text in a segment
	Cwnd     int // bytes
	Ssthresh int // bytes

	// HyStart ends the first slow start by HyStart++ (RFC 9406), before the
	// queue overflows.
	HyStart bool

	beta       float64 // what a loss leaves of the window
	credit     int     // bytes acknowledged towards the next increase in congestion avoidance
	srtt       time.Duration
	hystart    hystart
	validation validation

	before struct{ cwnd, ssthresh int } // the last reduction, for Undo; 0 when there is nothing to undo
}

// NewReno returns Reno, in slow start unless p says otherwise.
func NewReno(p Params) *Reno {
	r := &Reno{MSS: p.MSS, Cwnd: p.Window, Ssthresh: p.Threshold, beta: betaReno}
	if r.Cwnd == 0 {
		r.Cwnd = InitialWindow(p.MSS)
	}
	if r.Ssthresh == 0 {
		r.Ssthresh = Unlimited
	}
	return r
}

// Window is cwnd, in bytes.
func (r *Reno) Window() int { return r.Cwnd }

// Threshold is ssthresh, in bytes.
func (r *Reno) Threshold() int { return r.Ssthresh }

// PacingRate is 0, for the acknowledgements are the clock, but in the
// nonvalidated phase: there much more may be free of the window than
// acknowledgements are on their way, and it is to go out without a burst (RFC
// 7661 section 4.4.2). It is twice the rate of the window, so that the
// window, not the pace, decides how much goes out in a round trip. A window
// that a connection may begin with (RFC 6928) is no burst.
func (r *Reno) PacingRate() float64 {
	if !r.validation.nonvalidated || r.srtt <= 0 || r.Cwnd <= InitialWindow(r.MSS) {
		return 0
	}
	return 2 * float64(r.Cwnd) / r.srtt.Seconds()
}

// SetMSS changes the unit in which the window grows, in bytes.
func (r *Reno) SetMSS(mss int) {
	r.MSS = mss
	r.Cwnd = max(r.Cwnd, mss)
}

// Sent counts what a recovery sends again.
func (r *Reno) Sent(s Sent) { r.validation.sent(s) }

// Acked lets the window grow.
func (r *Reno) Acked(a Ack) {
	if n := r.SlowStart(a); n > 0 {
		r.avoid(n)
	}
}

// SlowStart measures, and does slow start (RFC 5681 section 3.1). It returns
// how many bytes of the acknowledgement are left for congestion avoidance; 0
// when the window is not to grow.
func (r *Reno) SlowStart(a Ack) int {
	r.observe(a)
	if !a.Limited || a.Recovering {
		return 0 // a window that is not used says nothing about the network (RFC 7661 section 4.4)
	}
	if a.CE > 0 {
		return 0 // nor by an acknowledgement that tells of congestion (RFC 3168 section 6.1.2)
	}
	if r.Cwnd >= r.Ssthresh {
		return a.Acked
	}
	if r.HyStart && r.Ssthresh >= Unlimited {
		r.startSlowly(a)
		return 0
	}
	// Slow start goes on while a timeout is repaired. It counts bytes, not
	// acknowledgements (RFC 3465): one may answer a train of 44 segments.
	grow := min(a.Acked, r.Ssthresh-r.Cwnd)
	r.setWindow(r.Cwnd + grow)
	return a.Acked - grow
}

// startSlowly is slow start by RFC 9406 section 4.2.
func (r *Reno) startSlowly(a Ack) {
	r.setWindow(r.Cwnd + r.hystart.growth(a.Acked, r.MSS))
	if r.hystart.done {
		r.Ssthresh = r.Cwnd
	}
}

// observe takes from an acknowledgement all but the growth of the window.
func (r *Reno) observe(a Ack) {
	r.srtt = a.SRTT
	if r.HyStart && r.Ssthresh >= Unlimited {
		r.hystart.acked(a)
	}
	r.validation.acked(a, r.Cwnd)
	r.expire(a.Now)
}

// avoid is congestion avoidance: one segment a window (RFC 3465 section 2.1).
func (r *Reno) avoid(n int) {
	r.credit += n
	if r.credit >= r.Cwnd {
		r.credit = min(r.credit-r.Cwnd, r.Cwnd)
		r.setWindow(r.Cwnd + r.MSS)
	}
}

func (r *Reno) setWindow(n int) { r.Cwnd = max(r.MSS, min(n, Unlimited)) }

// Lost halves the window (RFC 5681 section 3.1, equation (4)).
func (r *Reno) Lost(l Loss) {
	r.save()
	used := r.validation.lost(l, r.Cwnd)
	r.reduce(float64(used) * r.beta)
	r.setWindow(r.Ssthresh)
}

// Marked reduces the window by less than a loss does, but not in slow start
// (RFC 8511 section 3.1).
func (r *Reno) Marked(l Loss) { r.mark(l, betaRenoECN) }

// mark reduces the window to beta of what was used.
func (r *Reno) mark(l Loss, beta float64) {
	if r.Cwnd < r.Ssthresh {
		beta = r.beta
	}
	r.before.cwnd, r.before.ssthresh = 0, 0 // a mark is no mistake
	left := float64(r.validation.used(l, r.Cwnd)) * beta
	r.reduce(left)
	r.setWindow(int(left)) // down to one segment: marks go on as long as there is congestion (RFC 3168 section 6.1.2)
}

// TimedOut begins slow start from one segment, the loss window.
func (r *Reno) TimedOut(l Loss) {
	if !l.Again { // for a repeated timeout ssthresh stays (RFC 5681 section 3.1)
		r.save()
		// By FlightSize alone: pipeACK is for losses (RFC 7661 section 4.4).
		r.reduce(float64(min(l.Flight, r.Cwnd)) * r.beta)
	}
	r.validation.reset()
	r.Cwnd = r.MSS
	r.credit = 0
}

// reduce sets ssthresh, of two segments at least.
func (r *Reno) reduce(ssthresh float64) {
	r.Ssthresh = max(int(ssthresh), 2*r.MSS)
	r.credit = 0
}

func (r *Reno) save() { r.before.cwnd, r.before.ssthresh = r.Cwnd, r.Ssthresh }

// Recovered ends the repair of a window that had not been validated: what was
// lost of it went beyond the path's capacity (RFC 7661 section 4.4.1).
func (r *Reno) Recovered(time.Time) {
	if used := r.validation.recovered(); used > 0 {
		r.setWindow(min(r.Cwnd, int(float64(used)*r.beta)))
		r.Ssthresh = max(r.Cwnd, 2*r.MSS)
	}
}

// Undo returns to the window before the last reduction (RFC 4015 section 3.4).
func (r *Reno) Undo(time.Time) {
	r.setWindow(max(r.Cwnd, r.before.cwnd))
	r.Ssthresh = max(r.Ssthresh, r.before.ssthresh)
	r.before.cwnd, r.before.ssthresh = 0, 0
	r.validation.reset()
}

// Idled keeps the window for five minutes: RFC 7661 section 4.3 in place of
// the restart window of RFC 5681 section 4.1.
func (r *Reno) Idled(now time.Time, d time.Duration) {
	r.validation.idled(now, d, r.srtt)
	r.expire(now)
}

// expire reduces a window that was kept for too long without use (RFC 7661
// section 4.4.3).
func (r *Reno) expire(now time.Time) {
	for r.validation.expired(now) {
		r.Ssthresh = max(r.Ssthresh, r.Cwnd/4*3)
		restart := InitialWindow(r.MSS)
		if r.Cwnd <= restart {
			r.validation.since = now
			return
		}
		r.setWindow(max(r.Cwnd/2, restart))
	}
}

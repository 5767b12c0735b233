package congestion

import "time"

// Reno is slow start and congestion avoidance by RFC 5681.
type Reno struct {
	MSS      int
	Cwnd     int
	Ssthresh int
	credit   int // bytes acknowledged towards the next increase in congestion avoidance

	before struct{ cwnd, ssthresh int } // the last reduction, for Undo
}

// NewReno returns Reno in slow start.
func NewReno(p Params) *Reno {
	r := &Reno{MSS: p.MSS, Cwnd: p.Window, Ssthresh: Unlimited}
	if r.Cwnd == 0 {
		r.Cwnd = InitialWindow(p.MSS)
	}
	return r
}

// Window is cwnd, in bytes.
func (r *Reno) Window() int { return r.Cwnd }

// Threshold is ssthresh, in bytes.
func (r *Reno) Threshold() int { return r.Ssthresh }

// PacingRate is 0: Reno does not pace.
func (r *Reno) PacingRate() float64 { return 0 }

// SetMSS changes the unit in which the window grows, in bytes.
func (r *Reno) SetMSS(mss int) { r.MSS = mss }

// Sent does nothing.
func (r *Reno) Sent(Sent) {}

// Recovered does nothing: the window has been right since Lost.
func (r *Reno) Recovered(time.Time) {}

// Acked counts bytes, not acknowledgements (RFC 3465): one acknowledgement
// may answer a train of 44 segments.
func (r *Reno) Acked(a Ack) {
	if !a.Limited || a.Recovering {
		return // a window that is not used says nothing about the network (RFC 7661 section 1)
	}
	n := a.Acked
	if r.Cwnd < r.Ssthresh { // slow start (RFC 5681 section 3.1), also while a timeout is repaired
		grow := min(n, r.Ssthresh-r.Cwnd)
		r.Cwnd += grow
		n -= grow
	}
	r.credit += n // congestion avoidance: one segment a window (RFC 3465 section 2.1)
	if r.credit >= r.Cwnd {
		r.credit -= r.Cwnd
		r.Cwnd += r.MSS
	}
	r.Cwnd = min(r.Cwnd, Unlimited)
}

// Lost halves the window (RFC 5681 section 3.1, equation (4)).
func (r *Reno) Lost(l Loss) {
	r.before.cwnd, r.before.ssthresh = r.Cwnd, r.Ssthresh
	r.Ssthresh = max(l.Flight/2, 2*r.MSS)
	r.Cwnd = r.Ssthresh
	r.credit = 0
}

// Marked halves the window as a loss does (RFC 3168 section 6.1.2).
func (r *Reno) Marked(l Loss) { r.Lost(l) }

// TimedOut begins slow start from one segment, the loss window.
func (r *Reno) TimedOut(l Loss) {
	if !l.Again { // for a repeated timeout ssthresh stays (RFC 5681 section 3.1)
		r.before.cwnd, r.before.ssthresh = r.Cwnd, r.Ssthresh
		r.Ssthresh = max(l.Flight/2, 2*r.MSS)
	}
	r.Cwnd = r.MSS
	r.credit = 0
}

// Undo returns to the window before the last reduction (RFC 4015 section 3.2).
func (r *Reno) Undo(time.Time) {
	r.Cwnd = max(r.Cwnd, r.before.cwnd)
	r.Ssthresh = max(r.Ssthresh, r.before.ssthresh)
}

// Idled goes back to the restart window (RFC 5681 section 4.1).
func (r *Reno) Idled(time.Time, time.Duration) { r.Cwnd = min(r.Cwnd, InitialWindow(r.MSS)) }

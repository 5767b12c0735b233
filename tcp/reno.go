package tcp

import "time"

// reno is slow start, congestion avoidance and the window of fast recovery by
// RFC 5681, as RFC 6675 section 5 has it for SACK: the window is halved on
// entry and not inflated, because the scoreboard's pipe shrinks instead.
type reno struct {
	mss      int
	cwnd     int
	ssthresh int
	credit   int // bytes acknowledged towards the next increase in congestion avoidance
}

func newReno(mss int) *reno {
	return &reno{mss: mss, cwnd: initialWindow(mss), ssthresh: unlimited}
}

func (r *reno) window() int             { return r.cwnd }
func (r *reno) slowStartThreshold() int { return r.ssthresh }
func (r *reno) setMSS(mss int)          { r.mss = mss }
func (r *reno) recovered(time.Time)     {}

// acked counts bytes, not acknowledgements (RFC 3465): one acknowledgement
// may answer a train of 44 segments.
func (r *reno) acked(_ time.Time, n int, limited bool) {
	if !limited {
		return // a window that is not used says nothing about the network (RFC 7661 section 1)
	}
	if r.cwnd < r.ssthresh { // slow start (RFC 5681 section 3.1)
		grow := min(n, r.ssthresh-r.cwnd)
		r.cwnd += grow
		n -= grow
	}
	r.credit += n // congestion avoidance: one segment a window (RFC 3465 section 2.1)
	if r.credit >= r.cwnd {
		r.credit -= r.cwnd
		r.cwnd += r.mss
	}
	r.cwnd = min(r.cwnd, unlimited)
}

func (r *reno) lost(_ time.Time, flight int) {
	r.ssthresh = max(flight/2, 2*r.mss) // RFC 5681 section 3.1, equation (4)
	r.cwnd = r.ssthresh
	r.credit = 0
}

func (r *reno) timedOut(_ time.Time, flight int, again bool) {
	if !again { // for a repeated timeout ssthresh stays (RFC 5681 section 3.1)
		r.ssthresh = max(flight/2, 2*r.mss)
	}
	r.cwnd = r.mss // the loss window
	r.credit = 0
}

// idled goes back to the restart window (RFC 5681 section 4.1).
func (r *reno) idled(time.Time) { r.cwnd = min(r.cwnd, initialWindow(r.mss)) }

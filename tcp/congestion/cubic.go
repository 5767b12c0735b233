package congestion

import (
	"math"
	"time"
)

// The constants of RFC 9438 sections 4.6 and 5.1.
const (
	betaCubic    = 0.7
	betaCubicECN = 0.85 // RFC 8511 section 3.1
	cubicC       = 0.4  // segments a second, cubed

	// alphaCubic makes W_est grow as fast, on average, as Reno would: it is
	// smaller than Reno's 1, because less is lost at each reduction (section 4.3).
	alphaCubic = 3 * (1 - betaCubic) / (1 + betaCubic)
)

// Cubic is CUBIC (RFC 9438) with HyStart++. After a reduction the window
// follows a cubic function of time, not of acknowledgements: steep at first,
// flat around W_max, where congestion began the last time, and steep again
// beyond it. It is never slower than Reno would be.
//
// The functions are the RFC's, in bytes instead of segments.
type Cubic struct {
	Reno
	cubicState
	undo *cubicUndo // nil before the first reduction
}

// cubicUndo is what there was before the last reduction; a cwnd of 0 when there
// is nothing to undo.
type cubicUndo struct {
	cwnd, ssthresh int
	cubicState
}

// cubicState is what a congestion event changes, beside cwnd and ssthresh
// (RFC 9438 section 4.9.2).
type cubicState struct {
	wMax  float64 // W_max, bytes; 0 when there was no congestion event yet
	prior float64 // cwnd_prior, bytes: the window before the last reduction
	epoch cubicEpoch
}

// cubicEpoch is one stage of congestion avoidance.
type cubicEpoch struct {
	running bool
	elapsed time.Duration // t: how long it runs, without the time limited by the application
	last    time.Time     // to when elapsed is counted
	k       float64       // K, seconds
	wEst    float64       // W_est, bytes: where Reno would be
	cwnd    int           // cwnd as this epoch left it
	rest    float64       // of a byte, that cwnd lacks
}

// NewCubic returns CUBIC in slow start.
func NewCubic(p Params) *Cubic {
	c := &Cubic{Reno: *NewReno(p)}
	c.beta = betaCubic
	c.HyStart = true // section 4.10
	return c
}

// Acked lets the window grow.
func (c *Cubic) Acked(a Ack) {
	n := c.SlowStart(a)
	if n > 0 && !a.Recovering {
		c.avoid(a, n)
	} else {
		// The epoch does not run while the window does not grow, or it would
		// jump later (section 5.8).
		c.epoch.last = a.Now
	}
}

// avoid is congestion avoidance (section 4.2 to 4.5) for n bytes acknowledged.
func (c *Cubic) avoid(a Ack, n int) {
	e := &c.epoch
	if !e.running || c.Cwnd != e.cwnd { // somebody else has changed it: a loss, or its validation
		c.begin(a.Now)
	}
	e.elapsed += max(0, a.Now.Sub(e.last))
	e.last = a.Now

	cwnd := float64(c.Cwnd) + e.rest
	acked := min(float64(n), cwnd)
	c.estimate(acked / cwnd)
	t := e.elapsed.Seconds()
	if c.cubic(t) < e.wEst { // the Reno-friendly region (section 4.3)
		cwnd = max(cwnd, e.wEst)
	} else { // concave and convex (sections 4.4 and 4.5): to where the function is a round trip from now
		target := max(cwnd, min(c.cubic(t+c.srtt.Seconds()), 1.5*cwnd))
		cwnd += (target - cwnd) * acked / cwnd
	}
	c.setWindow(int(min(cwnd, Unlimited)))
	e.cwnd, e.rest = c.Cwnd, max(0, min(cwnd-float64(c.Cwnd), 1))
}

// begin begins an epoch: a stage of congestion avoidance.
func (c *Cubic) begin(now time.Time) {
	cwnd := float64(c.Cwnd)
	c.epoch = cubicEpoch{running: true, last: now, wEst: cwnd}
	if c.wMax <= cwnd {
		// No congestion event yet (section 4.10), a timeout (section 4.8), or a
		// window that has grown beyond: the function begins at its plateau.
		c.wMax = cwnd
	}
	if c.prior == 0 {
		c.prior = cwnd
	}
	c.epoch.k = math.Cbrt((c.wMax - cwnd) / (cubicC * float64(c.MSS)))
}

// cubic is W_cubic at t seconds, in bytes (section 4.2, figure 1).
func (c *Cubic) cubic(t float64) float64 {
	d := t - c.epoch.k
	return cubicC*float64(c.MSS)*d*d*d + c.wMax
}

// estimate lets W_est grow for a part of a window acknowledged (section 4.3,
// figure 4). At cwnd_prior, where Reno would have been at its peak too, it
// goes on as Reno does.
func (c *Cubic) estimate(part float64) {
	alpha := alphaCubic
	if c.epoch.wEst >= c.prior {
		alpha = 1
	}
	c.epoch.wEst = min(c.epoch.wEst+alpha*float64(c.MSS)*part, Unlimited)
}

// Lost reduces the window to 0.7 (section 4.6).
func (c *Cubic) Lost(l Loss) {
	c.save()
	c.congested()
	c.Reno.Lost(l)
}

// Marked reduces the window by less than a loss does (RFC 8511 section 3.1).
func (c *Cubic) Marked(l Loss) {
	c.forgetUndo()
	c.congested()
	c.mark(l, betaCubicECN)
}

// congested remembers where congestion began. When that is below the last
// time, others have come, and W_max gives them room: fast convergence
// (section 4.7).
func (c *Cubic) congested() {
	cwnd := float64(c.Cwnd)
	c.prior = cwnd
	if cwnd < c.wMax {
		cwnd *= (1 + betaCubic) / 2
	}
	c.wMax = cwnd
	c.epoch.running = false
}

// TimedOut goes back to one segment. The next epoch begins at its plateau
// (section 4.8).
func (c *Cubic) TimedOut(l Loss) {
	if !l.Again {
		c.save()
		c.prior = float64(c.Cwnd)
	}
	c.wMax = 0
	c.epoch.running = false
	c.Reno.TimedOut(l)
}

func (c *Cubic) save() {
	if c.undo == nil {
		c.undo = new(cubicUndo)
	}
	*c.undo = cubicUndo{c.Cwnd, c.Ssthresh, c.cubicState}
}

func (c *Cubic) forgetUndo() {
	if c.undo != nil {
		c.undo.cwnd = 0
	}
}

// Undo returns to what was before the last reduction, and to the place in the
// cubic function. A window that has grown beyond meanwhile stays as it is
// (section 4.9.2).
func (c *Cubic) Undo(time.Time) {
	c.validation.reset()
	if u := c.undo; u != nil && c.Cwnd < u.cwnd {
		c.setWindow(u.cwnd)
		c.Ssthresh = max(c.Ssthresh, u.ssthresh)
		c.cubicState = u.cubicState
	}
	c.forgetUndo()
}

// SetMSS changes the unit in which the window grows, in bytes. K is another
// then, so that a new epoch begins.
func (c *Cubic) SetMSS(mss int) {
	if mss != c.MSS {
		c.epoch.running = false
	}
	c.Reno.SetMSS(mss)
}

// Idled keeps the window (RFC 7661), and the epoch stands still (section 5.8).
func (c *Cubic) Idled(now time.Time, d time.Duration) {
	c.epoch.last = now
	c.Reno.Idled(now, d)
}

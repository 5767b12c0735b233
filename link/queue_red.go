package link

import (
	"math"
	"math/rand/v2"
	"time"
)

// RED is random early detection (RFC 2309 section 3, by the algorithm of Floyd
// and Jacobson, 1993): frames are dropped at random, the more often the longer
// the queue has been on average, before it is full.
type RED struct {
	// Min and Max are the thresholds of the average, in frames. Below Min
	// nothing is dropped, and from Max on everything. 0 means 5 for Min, and
	// three times Min for Max.
	Min, Max int

	// Probability of a drop when the average comes to Max. 0 means 0.1.
	Probability float64

	// Weight of the newest length in the average. 0 means 0.002.
	Weight float64

	// ECN marks frames of senders that understand it, rather than drop them,
	// while the average is below Max (RFC 3168 section 5).
	ECN bool
}

func (c RED) manage(rate int64, random *rand.Rand) manager {
	if c.Min <= 0 {
		c.Min = 5
	}
	if c.Max <= c.Min {
		c.Max = 3 * c.Min
	}
	if c.Probability <= 0 {
		c.Probability = 0.1
	}
	if c.Weight <= 0 {
		c.Weight = 0.002
	}
	typical := time.Duration(typicalFrame * 8 * int64(time.Second) / rate)
	return &red{cfg: c, random: random.Float64, typical: max(typical, 1), count: -1}
}

// typicalFrame is in bytes; RED counts by it how many frames could have come
// while the queue was empty.
const typicalFrame = 1000

type red struct {
	cfg     RED
	random  func() float64 // from 0 up to 1
	typical time.Duration  // that a frame takes on the line

	average float64
	count   int           // frames since the last that was dropped; -1 below Min
	since   time.Duration // up to when the average counts that the queue, if it is empty, was so
}

func (r *red) arrives(now time.Duration, q *backlog, _ int) verdict {
	r.measure(now, q.len())
	low, high := float64(r.cfg.Min), float64(r.cfg.Max)
	switch {
	case r.average < low:
		r.count = -1
		return pass
	case r.average >= high:
		r.count = 0
		return drop
	}
	r.count++
	p := r.cfg.Probability * (r.average - low) / (high - low)
	// The gaps between drops are spread evenly, not geometrically.
	if spread := 1 - float64(r.count)*p; spread > 0 && r.random() >= p/spread {
		return pass
	}
	r.count = 0
	if r.cfg.ECN {
		return mark
	}
	return drop
}

// measure updates the average as a frame comes to n others. While the queue is
// empty the average decays with time, not with the frames that come: these may
// be few, and all be dropped.
func (r *red) measure(now time.Duration, n int) {
	if n > 0 {
		r.average += r.cfg.Weight * (float64(n) - r.average)
		return
	}
	missed := float64(now-r.since) / float64(r.typical)
	r.average *= math.Pow(1-r.cfg.Weight, missed)
	r.since = now
}

func (r *red) leaves(time.Duration, *backlog, time.Duration) verdict { return pass }

func (r *red) emptied(now time.Duration) { r.since = now }

package main

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// Vegas keeps so many bytes in the queue: not fewer, so that the line is never
// idle, and not more.
const (
	leastQueued = 2 // segments
	mostQueued  = 4
)

// Vegas is a congestion control of one's own, in the manner of TCP Vegas
// (Brakmo and Peterson, 1995). Once a round trip it computes from the growth
// of the round-trip time how much of its window waits in a queue, and lets the
// window grow by a segment, or shrink, until that is right.
//
// All else, as the answers to losses and timeouts, is Reno's.
type Vegas struct {
	*congestion.Reno
	rtt time.Duration // the least of this round trip
}

// NewVegas is a [congestion.Factory].
func NewVegas(p congestion.Params) congestion.Controller {
	return &Vegas{Reno: congestion.NewReno(p)}
}

// Acked is where Vegas differs.
func (v *Vegas) Acked(a congestion.Ack) {
	v.SlowStart(a) // which only measures when it is over
	if a.RTT > 0 && (v.rtt == 0 || a.RTT < v.rtt) {
		v.rtt = a.RTT
	}
	if !a.Round || a.Recovering || v.rtt == 0 {
		return
	}
	switch queued := v.queued(a.MinRTT); {
	case v.Cwnd < v.Ssthresh:
		if queued > leastQueued*v.MSS { // slow start has filled the line
			v.Cwnd = max(v.Cwnd-queued, 2*v.MSS)
			v.Ssthresh = v.Cwnd
		}
	case queued < leastQueued*v.MSS && a.Limited:
		v.Cwnd += v.MSS
	case queued > mostQueued*v.MSS:
		// Half of what is too much, as the measure is a round trip old: by a segment
		// at a time a queue would stay for long, and flows that begin meanwhile
		// would take it for part of the way.
		v.Cwnd = max(v.Cwnd-max(v.MSS, (queued-mostQueued*v.MSS)/2), 2*v.MSS)
		v.Ssthresh = min(v.Ssthresh, v.Cwnd) // or slow start would take it back
	}
	v.rtt = 0
}

// queued is how many bytes of the window wait, when the round trip takes base
// without a queue.
func (v *Vegas) queued(base time.Duration) int {
	return int(float64(v.Cwnd) * max(0, 1-float64(base)/float64(v.rtt)))
}

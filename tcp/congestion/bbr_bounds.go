package congestion

import (
	"math"
	"time"
)

const (
	lossThreshold = 0.02 // LossThresh: the part of a flight that may be lost
	betaBBR       = 0.7  // Beta: what of the bounds stays after a round trip with losses
	headroomBBR   = 0.15 // Headroom: what is left to others
)

// bounds is what congestion makes of the model: at most so much in flight, at
// most so fast.
type bounds struct {
	long      int     // inflight_longterm: a probe has lost with more in flight
	inFlight  int     // inflight_shortterm: in this cycle
	bandwidth float64 // bw_shortterm: likewise, bytes a second
}

// resetShort forgets the losses of this cycle.
func (n *bounds) resetShort() { n.inFlight, n.bandwidth = Unlimited, math.Inf(1) }

// delivery is what the last round trip has delivered at most.
type delivery struct {
	bandwidth float64 // bw_latest
	inFlight  int     // inflight_latest: bytes
}

// lossRound gathers losses over a round trip (section 5.5.10.3).
type lossRound struct {
	found bool   // is_loss_in_round
	acks  int    // how many acknowledgements of this round told of losses
	next  uint64 // loss_round_delivered
}

func (l *lossRound) reset() { l.found, l.acks = false, 0 }

// tooHigh says whether a larger part was lost than a probe may lose. It takes
// for granted that losses are known one by one, as SACK makes it.
func (s *sample) tooHigh() bool { return float64(s.lost) > float64(s.inFlight)*lossThreshold }

// noteDelivery takes the newest delivery, and finds the end of a round of loss
// detection.
func (b *BBR) noteDelivery(s *sample) {
	b.latest.bandwidth = max(b.latest.bandwidth, s.bandwidth)
	b.latest.inFlight = max(b.latest.inFlight, s.Rate.Delivered)
	if s.Rate.Interval > 0 && s.Rate.PriorDelivered >= b.losses.next {
		b.losses.next = b.round.delivered
		s.lossRound = true
	}
}

// advanceDelivery begins the next round with this delivery.
func (b *BBR) advanceDelivery(s *sample) {
	if s.lossRound {
		b.latest = delivery{s.bandwidth, s.Rate.Delivered}
	}
}

// noteLoss is section 5.5.10.2: a probe that loses too much has found where
// the path ends.
func (b *BBR) noteLoss(s *sample) {
	if s.Lost <= 0 {
		return
	}
	b.congested()
	b.losses.acks++
	if b.probe.sample && s.tooHigh() {
		b.probeTooHigh(s, s.inFlightAtLoss())
	}
}

// congested notes the first sign of congestion in a round trip.
func (b *BBR) congested() {
	if !b.losses.found {
		b.losses.next = b.round.delivered
		b.losses.found = true
	}
}

// inFlightAtLoss is how much was in flight when the losses came to be too
// many: that may have been in the midst of the train that was lost.
func (s *sample) inFlightAtLoss() int {
	size := min(s.Lost, s.lost, s.inFlight)
	before, lostBefore := float64(s.inFlight-size), float64(s.lost-size)
	prefix := (lossThreshold*before - lostBefore) / (1 - lossThreshold)
	return int(before + max(0, min(prefix, float64(size))))
}

// probeTooHigh ends a probe that has lost too much with inFlight on its way.
func (b *BBR) probeTooHigh(s *sample, inFlight int) {
	b.probe.tooHigh = true
	b.probe.sample = false // it answers once for each probe
	if !s.limited {
		b.bounds.long = clampWindow(max(float64(inFlight), betaBBR*float64(b.targetInFlight())))
	}
	if b.phase == probeUp {
		b.undo.phase, b.undo.saved = probeUp, true
		b.startDown(s)
	}
}

// noteCongestion updates max_bw, and once for each round trip with losses the
// short-term bounds (section 5.5.10.3). A phase that probes has to lose.
func (b *BBR) noteCongestion(s *sample) {
	b.round.limited = b.round.limited || s.Limited
	if s.bandwidth > 0 && (!s.limited || s.bandwidth >= b.maxBandwidth.max()) {
		b.maxBandwidth.update(s.bandwidth)
	}
	if !s.lossRound {
		return
	}
	if b.losses.found && !b.phase.probes() {
		if math.IsInf(b.bounds.bandwidth, 1) {
			b.bounds.bandwidth = b.maxBandwidth.max()
		}
		if b.bounds.inFlight >= Unlimited {
			b.bounds.inFlight = b.cwnd
		}
		b.bounds.bandwidth = max(b.latest.bandwidth, betaBBR*b.bounds.bandwidth)
		b.bounds.inFlight = clampWindow(max(float64(b.latest.inFlight), betaBBR*float64(b.bounds.inFlight)))
	}
	b.losses.found = false
}

// Lost saves what a recovery may change; the model follows with the
// acknowledgements (section 5.6.4.4).
func (b *BBR) Lost(l Loss) {
	b.enterRecovery()
	if l.Lost > 0 {
		b.congested()
	}
}

// TimedOut lets one segment go out, from which the window grows again. After
// the timeout of a SYN, with no text in flight, there is nothing to recover.
func (b *BBR) TimedOut(l Loss) {
	if l.Flight > 0 {
		b.enterRecovery()
		b.congested()
	}
	b.cwnd = b.mss
}

// Marked takes a mark for a loss above the threshold. The draft leaves the
// answer open, but demands that there is one (section 3.7).
func (b *BBR) Marked(l Loss) {
	b.congested()
	if b.phase == startup {
		b.full.marks++
	}
	if b.probe.sample {
		b.probeTooHigh(&sample{Ack: Ack{Now: l.Now}}, l.Flight)
	}
}

// bbrUndo is what it was before the recovery (section 5.5.11.1).
type bbrUndo struct {
	bounds bounds
	phase  phase // startup or probeUp, which the recovery has ended
	saved  bool  // there is such a phase
}

func (b *BBR) enterRecovery() {
	b.saveWindow()
	if !b.recovering {
		b.undo = bbrUndo{bounds: b.bounds}
	}
	b.recovering = true
}

// Recovered returns to the last good window, which the model bounds with the
// next acknowledgement.
func (b *BBR) Recovered(time.Time) {
	if b.recovering {
		b.restoreWindow()
	}
	b.recovering = false
}

// Undo takes the last recovery back (section 5.5.11.2).
func (b *BBR) Undo(time.Time) {
	b.restoreWindow()
	b.recovering = false
	b.losses.reset()
	b.full.reset(0)
	was := b.undo
	b.undo = bbrUndo{}
	b.bounds.long = max(b.bounds.long, was.bounds.long)
	b.bounds.inFlight = max(b.bounds.inFlight, was.bounds.inFlight)
	b.bounds.bandwidth = max(b.bounds.bandwidth, was.bounds.bandwidth)
	if !was.saved {
		return
	}
	switch {
	case was.phase == startup && b.phase != startup:
		b.full.reached = false
		if b.phase != probeRTT {
			b.phase = startup
		}
	case was.phase == probeUp && b.phase != probeUp && b.phase != probeRTT:
		b.startRefill()
	}
}

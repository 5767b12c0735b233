package congestion

import "time"

// ackPhase is what the acknowledgements that arrive tell about, with respect
// to the probe for bandwidth.
type ackPhase uint8

const (
	acksInit      ackPhase = iota // no probe
	acksRefilling                 // the pipe is being filled
	acksStarting                  // the probe has begun
	acksFeedback                  // of what was sent in the probe
	acksStopping                  // the probe is over, and its last data still arrives
)

// probing is the state of the cycle of ProbeBW (section 5.3.3).
type probing struct {
	acks       ackPhase
	sample     bool          // is_bw_probe_sample: what arrives was sent to probe
	wait       time.Duration // bw_probe_wait: how long at most until the next probe
	begun      time.Time     // cycle_stamp: of this cycle
	drainRound int           // when Drain began

	tooHigh      bool // prev_probe_too_high: the last probe lost too much
	precaution   bool // prev_probe_precautionary: the last probe ended where the one before lost
	rounds       int  // bw_probe_up_rounds: in which inflight_longterm has grown
	acked        int  // bw_probe_up_acked: since it has grown
	perIncrement int  // probe_up_acked_per_inc: for a segment more; 0: it does not grow
}

// startDown begins a cycle: less than the bandwidth, until the queue is gone
// (section 5.3.3.1).
func (b *BBR) startDown(s *sample) {
	b.losses.reset()
	b.latest = delivery{}
	b.probe.perIncrement = 0
	b.pickWait()
	b.probe.begun = s.Now
	b.probe.acks = acksStopping
	b.round.restart()
	b.phase = probeDown
}

// pickWait decides when to probe next: in two to three seconds, or after as
// many round trips as Reno would need to come back to this window, if that is
// earlier (section 5.3.3.8). Chance keeps flows from probing together.
func (b *BBR) pickWait() {
	b.round.sinceUp = int(b.random() & 1)
	b.probe.wait = 2*time.Second + time.Duration(b.random()%uint64(time.Second))
}

// startRefill fills the pipe for a round trip, so that the probe which follows
// measures the path and not an empty pipe (section 5.3.3.3).
func (b *BBR) startRefill() {
	b.bounds.resetShort()
	b.probe.rounds, b.probe.acked = 0, 0
	b.probe.precaution = false
	b.probe.acks = acksRefilling
	b.round.restart()
	b.phase = probeRefill
}

// startUp probes: it sends faster than the bandwidth (section 5.3.3.5).
func (b *BBR) startUp(s *sample) {
	b.probe.acks = acksStarting
	b.round.restart()
	b.full.reset(s.bandwidth)
	b.phase = probeUp
	b.raiseSlope()
}

// updateProbeBW is the state machine of ProbeBW (section 5.3.3.9).
func (b *BBR) updateProbeBW(s *sample) {
	if !b.full.reached || b.adaptLong(s) {
		return
	}
	switch b.phase {
	case probeDown:
		if !b.probeAgain(s) && b.drained(s) {
			b.phase = probeCruise
		}
	case probeCruise:
		b.probeAgain(s)
	case probeRefill:
		if b.round.start {
			b.probe.sample = true
			b.startUp(s)
		}
	case probeUp:
		if b.probedEnough(s) {
			b.probe.tooHigh = false
			b.startDown(s)
		}
	}
}

// probeAgain begins the next probe, when it is time.
func (b *BBR) probeAgain(s *sample) bool {
	reno := min(b.targetInFlight()/b.mss, 63)
	if s.Now.After(b.probe.begun.Add(b.probe.wait)) || b.round.sinceUp >= reno {
		b.startRefill()
		return true
	}
	return false
}

// drained says that there is no queue, and room for others.
func (b *BBR) drained(s *sample) bool {
	return s.InFlight <= b.headroom() && s.InFlight <= b.inFlight(b.maxBandwidth.max(), 1)
}

// probedEnough says that the path is full, or that what is in flight comes to
// where the last probe lost (sections 5.3.3.6 and 5.3.3.7).
func (b *BBR) probedEnough(s *sample) bool {
	if b.probe.tooHigh && s.InFlight >= b.bounds.long {
		b.probe.precaution = true
		return true
	}
	if b.limitedByWindow() && b.cwnd >= b.bounds.long {
		b.full.reset(s.bandwidth) // inflight_longterm is in the way, not the path
		return false
	}
	return b.full.now
}

// adaptLong follows what the probe tells, and raises inflight_longterm where
// there is little loss. It returns true when the state has changed.
func (b *BBR) adaptLong(s *sample) bool {
	p := &b.probe
	if p.acks == acksStarting && b.round.start {
		p.acks = acksFeedback
	}
	if p.acks == acksStopping && b.round.start {
		p.sample = false
		p.acks = acksInit
		if b.phase.inProbeBW() {
			if !s.limited {
				b.maxBandwidth.advance()
			}
			if p.precaution && !p.tooHigh { // it went well: probe at once, and this time stay there
				b.startRefill()
				return true
			}
		}
	}
	if s.tooHigh() || b.bounds.long >= Unlimited {
		return false
	}
	b.bounds.long = clampWindow(max(float64(b.bounds.long), float64(s.inFlight)))
	if b.phase == probeUp {
		b.raiseLong(s)
	}
	return false
}

// raiseLong raises inflight_longterm while it is what limits the probe: by one
// segment in the first round trip, by two in the second, by four in the third.
func (b *BBR) raiseLong(s *sample) {
	p := &b.probe
	if !b.limitedByWindow() || b.cwnd < b.bounds.long {
		return
	}
	p.acked += max(0, min(s.Delivered, Unlimited))
	if p.perIncrement > 0 && p.acked >= p.perIncrement {
		n := p.acked / p.perIncrement
		p.acked -= n * p.perIncrement
		b.bounds.long = clampWindow(float64(b.bounds.long) + float64(n)*float64(b.mss))
	}
	if b.round.start {
		b.raiseSlope()
	}
}

// raiseSlope doubles the growth of inflight_longterm.
func (b *BBR) raiseSlope() {
	p := &b.probe
	p.perIncrement = max(b.cwnd>>p.rounds, b.mss)
	p.rounds = min(p.rounds+1, 30)
}

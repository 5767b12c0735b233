package congestion

import "time"

// pacingMargin is PacingMarginPercent: a little less than the bandwidth keeps
// the queue short.
const pacingMargin = 0.99

// initPacing begins with the initial window in a round trip; in a millisecond
// as long as none is measured (section 5.6.2).
func (b *BBR) initPacing(srtt time.Duration) {
	b.measured = srtt > 0
	if srtt <= 0 {
		srtt = time.Millisecond
	}
	gain, _ := startup.gains()
	b.pacing = gain * float64(b.initial) / srtt.Seconds()
}

// setPacing paces by gain. Until the pipe was full once the rate only grows:
// samples limited by the application say nothing against it.
func (b *BBR) setPacing(gain float64) {
	rate := gain * b.bandwidth * pacingMargin
	if rate > 0 && (b.full.reached || rate > b.pacing) {
		b.pacing = rate
	}
}

// setQuantum is section 5.6.3: about a millisecond of data.
func (b *BBR) setQuantum() {
	b.quantum = max(2*b.mss, int(min(b.pacing/1000, 64<<10)))
}

// setWindow is section 5.6.4.6: it grows by what is delivered, and shrinks at
// once to what the model allows.
func (b *BBR) setWindow(s *sample) {
	delivered := max(0, min(s.Delivered, Unlimited))
	most := b.maxInFlight()
	switch {
	case b.full.reached:
		b.cwnd = min(b.cwnd+delivered, most)
	case b.cwnd < most || b.round.delivered < uint64(b.initial):
		b.cwnd += delivered
	}
	b.cwnd = clampWindow(float64(max(b.cwnd, b.minWindow())))
	if b.phase == probeRTT {
		b.cwnd = min(b.cwnd, b.probeRTTWindow())
	}
	b.cwnd = min(b.cwnd, b.windowCap())
}

// windowCap is section 5.6.4.7: what recent congestion leaves.
func (b *BBR) windowCap() int {
	n := Unlimited
	switch {
	case b.phase == probeRTT || b.phase == probeCruise:
		n = b.headroom()
	case b.phase.inProbeBW():
		n = b.bounds.long
	}
	return max(min(n, b.bounds.inFlight), b.minWindow())
}

// minWindow is MinPipeCwnd: enough for a receiver that acknowledges every
// second segment.
func (b *BBR) minWindow() int { return 4 * b.mss }

// bdp is what fills the path without a queue, in bytes.
func (b *BBR) bdp() float64 { return b.multiple(b.bandwidth, 1) }

// multiple is BDPMultiple: gain times bandwidth times the round-trip time.
func (b *BBR) multiple(bandwidth, gain float64) float64 {
	if b.rtt.least == 0 {
		return float64(b.initial)
	}
	return gain * bandwidth * b.rtt.least.Seconds()
}

// inFlight is Inflight: a multiple, with room for the trains.
func (b *BBR) inFlight(bandwidth, gain float64) int {
	return b.quantized(b.multiple(bandwidth, gain))
}

// maxInFlight is max_inflight.
func (b *BBR) maxInFlight() int {
	_, gain := b.phase.gains()
	return b.quantized(b.multiple(b.bandwidth, gain) + float64(b.extraAcked()))
}

// quantized has room for three trains: one to be sent, one being cut, one at
// the receiver that is not yet acknowledged (section 5.5.8.1).
func (b *BBR) quantized(n float64) int {
	n = max(n, float64(3*b.quantum), float64(b.minWindow()))
	if b.phase == probeUp {
		n += float64(2 * b.mss)
	}
	return clampWindow(n)
}

// headroom is inflight_longterm with some room for others.
func (b *BBR) headroom() int {
	if b.bounds.long >= Unlimited {
		return Unlimited
	}
	room := max(float64(b.mss), headroomBBR*float64(b.bounds.long))
	return max(clampWindow(float64(b.bounds.long)-room), b.minWindow())
}

func (b *BBR) probeRTTWindow() int {
	_, gain := probeRTT.gains()
	return max(clampWindow(b.multiple(b.bandwidth, gain)), b.minWindow())
}

// targetInFlight is what should be in flight: the bandwidth-delay product,
// unless congestion has cut the window.
func (b *BBR) targetInFlight() int { return min(clampWindow(b.bdp()), b.cwnd) }

// saveWindow remembers the last good window (section 5.6.4.4).
func (b *BBR) saveWindow() {
	if !b.recovering && b.phase != probeRTT {
		b.priorCwnd = b.cwnd
	} else {
		b.priorCwnd = max(b.priorCwnd, b.cwnd)
	}
}

func (b *BBR) restoreWindow() { b.cwnd = max(b.cwnd, b.priorCwnd) }

// clampWindow is n as a window: from 0 to Unlimited, whatever n is.
func clampWindow(n float64) int {
	if !(n > 0) { // nor when it is not a number
		return 0
	}
	return int(min(n, Unlimited))
}

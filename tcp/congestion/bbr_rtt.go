package congestion

import "time"

const (
	minRTTWindow     = 10 * time.Second // MinRTTFilterLen
	probeRTTInterval = 5 * time.Second
	probeRTTTime     = 200 * time.Millisecond // ProbeRTTDuration
)

// minRTT is the least round-trip time of the last ten seconds, and the time of
// the next ProbeRTT (section 5.3.4.3).
type minRTT struct {
	least time.Duration // min_rtt; 0: none was measured
	stamp time.Time     // when it was

	probe      time.Duration // probe_rtt_min_delay: the least since the last ProbeRTT; 0: none
	probeStamp time.Time
	expired    bool // probe_rtt_expired: it is time for ProbeRTT

	doneAt    time.Time // of ProbeRTT: not before; zero while it drains the queue
	roundDone bool
}

// updateMinRTT takes the round-trip time of an acknowledgement.
func (b *BBR) updateMinRTT(s *sample) {
	r := &b.rtt
	r.expired = s.Now.After(r.probeStamp.Add(probeRTTInterval))
	if s.RTT > 0 && (r.probe == 0 || s.RTT < r.probe || r.expired) {
		r.probe, r.probeStamp = s.RTT, s.Now
	}
	if r.probe > 0 && (r.least == 0 || r.probe < r.least || s.Now.After(r.stamp.Add(minRTTWindow))) {
		r.least, r.stamp = r.probe, r.probeStamp
	}
}

// checkProbeRTT enters ProbeRTT when no round-trip time was as small for five
// seconds, and no idle time has drained the queue already.
func (b *BBR) checkProbeRTT(s *sample) {
	if b.phase != probeRTT && b.rtt.expired && !b.idleRestart {
		b.saveWindow()
		b.phase = probeRTT
		b.rtt.doneAt = time.Time{}
		b.probe.acks = acksStopping
		b.round.restart()
	}
	if b.phase == probeRTT {
		b.handleProbeRTT(s)
	}
	if s.Delivered > 0 {
		b.idleRestart = false
	}
}

// handleProbeRTT stays at the small window for 200 ms and a round trip. What
// is measured then is limited by ProbeRTT, not by the path.
func (b *BBR) handleProbeRTT(s *sample) {
	r := &b.rtt
	b.limitedTo = b.round.delivered + uint64(max(1, s.InFlight))
	switch {
	case r.doneAt.IsZero() && s.InFlight <= b.probeRTTWindow():
		r.doneAt = s.Now.Add(probeRTTTime)
		r.roundDone = false
		b.round.restart()
	case !r.doneAt.IsZero():
		r.roundDone = r.roundDone || b.round.start
		if r.roundDone {
			b.checkProbeRTTDone(s.Now)
		}
	}
}

// checkProbeRTTDone leaves ProbeRTT. The window returns to what it was, and the
// cycle goes on with cruising, for the queue is drained.
func (b *BBR) checkProbeRTTDone(now time.Time) {
	r := &b.rtt
	if r.doneAt.IsZero() || !now.After(r.doneAt) {
		return
	}
	r.probeStamp = now
	b.restoreWindow()
	b.bounds.resetShort()
	if !b.full.reached {
		b.phase = startup
		return
	}
	b.startDown(&sample{Ack: Ack{Now: now}})
	b.phase = probeCruise
}

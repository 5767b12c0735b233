package congestion

// startupLosses is how many acknowledgements of a round have to tell of losses
// for Startup to end by them: one burst of losses does not make a full pipe
// (section 5.3.1.3).
const startupLosses = 6

// fullPipe finds out whether sending faster still brings more (section
// 5.3.1.2).
type fullPipe struct {
	reached   bool    // full_bw_reached: it was once, in the life of the connection
	now       bool    // full_bw_now: since the last reset
	bandwidth float64 // full_bw: the base, bytes a second
	rounds    int     // full_bw_count: without much growth
	marks     int     // round trips of Startup with ECN marks
}

// reset starts again, from a base of bandwidth.
func (f *fullPipe) reset(bandwidth float64) { f.bandwidth, f.rounds, f.now = bandwidth, 0, false }

// checkFullPipe takes three round trips, in each of which the bandwidth grew by
// less than a quarter, for a full pipe.
func (b *BBR) checkFullPipe(s *sample) {
	f := &b.full
	switch {
	case f.now || !b.round.start || s.limited:
	case s.bandwidth >= 1.25*f.bandwidth:
		f.reset(s.bandwidth)
	default:
		f.rounds++
		f.now = f.rounds >= 3
		f.reached = f.reached || f.now
	}
}

// checkStartupDone ends Startup when the pipe is full, by bandwidth, by losses
// or by marks (section 5.3.1).
func (b *BBR) checkStartupDone(s *sample) {
	if b.phase != startup {
		return
	}
	if s.lossRound {
		if b.startupOverflows(s) {
			b.undo.phase, b.undo.saved = startup, true
			b.full.reached = true
			b.bounds.long = clampWindow(max(b.bdp(), float64(b.latest.inFlight)))
		}
		b.losses.acks = 0
	}
	if b.full.reached {
		b.phase = drain
		b.probe.drainRound = b.round.count
	}
}

// startupOverflows says whether the last round trip of Startup lost, or had
// marked, more than a burst. The draft leaves ECN open; marks in two round
// trips count here as losses do.
func (b *BBR) startupOverflows(s *sample) bool {
	return b.full.marks >= 2 || b.recovering && b.losses.acks >= startupLosses && s.tooHigh()
}

// checkDrainDone ends Drain when the queue is gone, or after three round trips
// (section 5.3.2).
func (b *BBR) checkDrainDone(s *sample) {
	if b.phase == drain && (s.InFlight <= b.inFlight(b.bandwidth, 1) || b.round.count > b.probe.drainRound+3) {
		b.startDown(s)
	}
}

package congestion

import "time"

// The constants of RFC 9406 section 4.3.
const (
	rttSamples       = 8 // N_RTT_SAMPLE
	minRTTThreshold  = 4 * time.Millisecond
	maxRTTThreshold  = 16 * time.Millisecond
	rttDivisor       = 8 // MIN_RTT_DIVISOR
	cssGrowthDivisor = 4
	cssRounds        = 5
)

// growthLimit is L of RFC 9406 sections 4.2 and 4.3 in bytes: how much of what one
// acknowledgement tells counts for the window.
//
// For a sender that does not pace, the RFC has 8 segments: four times what a
// receiver acknowledges at once that answers every second segment. It keeps
// the loss of some acknowledgements from becoming a burst. This stack sends
// trains of up to 64 KB, and a receiver with offloads answers each of them
// with one acknowledgement, so that here the train is the unit. With 8
// segments the window would grow by a fifth a round trip instead of doubling;
// with one train an acknowledgement lets out two trains at most.
const growthLimit = 64 << 10

// hystart is HyStart++ (RFC 9406): it looks for an end of slow start in the
// growth of round-trip times. When they grow, it goes over to conservative
// slow start (CSS), which goes back if that was but jitter.
type hystart struct {
	lastMin  time.Duration // lastRoundMinRTT; 0: none was measured
	min      time.Duration // currentRoundMinRTT; likewise
	baseline time.Duration // cssBaselineMinRtt; 0 when it is not in CSS

	samples int32 // rttSampleCount
	rounds  int16 // of CSS, that have ended
	done    bool  // congestion avoidance begins
}

// acked takes the round-trip time of an acknowledgement in slow start.
func (h *hystart) acked(a Ack) {
	if a.Round {
		h.endRound()
	}
	if a.RTT <= 0 {
		return
	}
	if h.min == 0 || a.RTT < h.min {
		h.min = a.RTT
	}
	h.samples++
	if h.samples >= rttSamples {
		h.judge()
	}
}

// endRound begins a new round.
//
// The RFC waits for eight samples, so that the least of them is free of
// jitter when it decides in the midst of a round. Trains and receivers that
// coalesce leave fewer of them to a whole round, often one or two; if those
// did not count, HyStart++ would never act on a fast path. When a round has
// ended there is no more to wait for, and its minimum is the best that there
// is. If it was jitter after all, the next round is faster again, and CSS
// returns to slow start: that is what CSS is for.
func (h *hystart) endRound() {
	was := h.baseline
	if h.samples > 0 && h.samples < rttSamples {
		h.judge()
	}
	if was > 0 && h.baseline > 0 {
		h.rounds++ // the round in which CSS began counts too
		h.done = h.done || h.rounds >= cssRounds
	}
	h.lastMin, h.min, h.samples = h.min, 0, 0
}

// judge compares the minimum of this round.
func (h *hystart) judge() {
	if h.baseline > 0 {
		if h.min < h.baseline { // it was jitter: slow start goes on
			h.baseline = 0
		}
		return
	}
	if h.lastMin == 0 {
		return
	}
	threshold := max(minRTTThreshold, min(h.lastMin/rttDivisor, maxRTTThreshold))
	if h.min >= h.lastMin+threshold {
		h.baseline, h.rounds = h.min, 0
	}
}

// growth is by how much the window grows when n bytes are acknowledged.
func (h *hystart) growth(n, mss int) int {
	n = min(n, max(growthLimit, 8*mss))
	if h.baseline > 0 {
		n /= cssGrowthDivisor
	}
	return n
}

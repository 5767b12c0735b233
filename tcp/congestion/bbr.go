package congestion

import "time"

// BBR is BBR version 3 (draft-ietf-ccwg-bbr, whose sections the comments
// name): it models the path by the bandwidth and the round-trip time that it
// measures, and paces what it sends by the model. Loss and ECN marks bound
// the model, but are not its measure.
//
// Where the parts are: this file has the events and the round trips,
// bbr_startup.go Startup and Drain, bbr_probe.go the cycle of ProbeBW,
// bbr_rtt.go the round-trip time and ProbeRTT, bbr_bounds.go what congestion
// does to the model, bbr_filter.go the filters, and bbr_output.go what comes
// of it: window and pacing rate.
type BBR struct {
	mss     int
	initial int // InitialCwnd, bytes
	random  func() uint64

	phase phase
	round rounds
	full  fullPipe
	probe probing
	rtt   minRTT

	maxBandwidth bandwidthFilter // max_bw
	bandwidth    float64         // bw, bytes a second: max_bw as the bounds allow it
	aggregation  aggregation     // extra_acked
	latest       delivery
	bounds       bounds
	losses       lossRound
	undo         bbrUndo

	cwnd      int
	priorCwnd int     // the last good one, before a recovery or ProbeRTT
	pacing    float64 // pacing_rate, bytes a second
	measured  bool    // pacing began with a round-trip time
	quantum   int     // send_quantum, bytes

	recovering  bool   // between Lost or TimedOut and Recovered or Undo
	idleRestart bool   // nothing has arrived since the connection was idle
	limitedTo   uint64 // of delivered: samples of what was sent before say nothing about the path
}

// phase is a state of BBR's state machine (section 5.1).
type phase uint8

const (
	startup phase = iota
	drain
	probeDown
	probeCruise
	probeRefill
	probeUp
	probeRTT
)

// gains are the pacing gain and the cwnd gain of a phase (section 5.6.1).
func (p phase) gains() (pacing, cwnd float64) {
	switch p {
	case startup:
		return 2.77, 2 // 4 ln 2: the least by which the rate doubles each round trip
	case drain:
		return 0.5, 2
	case probeDown:
		return 0.9, 2
	case probeUp:
		return 1.25, 2.25
	case probeRTT:
		return 1, 0.5
	}
	return 1, 2
}

// inProbeBW says whether p is one of the four phases of ProbeBW.
func (p phase) inProbeBW() bool { return p >= probeDown && p <= probeUp }

// probes says whether p looks for more bandwidth.
func (p phase) probes() bool { return p == startup || p == probeRefill || p == probeUp }

// NewBBR returns BBR in Startup (section 5.2.1).
func NewBBR(p Params) *BBR {
	b := &BBR{mss: p.MSS, initial: p.Window, random: p.Random}
	if b.initial == 0 {
		b.initial = InitialWindow(p.MSS)
	}
	if b.random == nil {
		b.random = func() uint64 { return 0 }
	}
	b.cwnd = b.initial
	b.quantum = 2 * p.MSS
	b.rtt = minRTT{stamp: p.Now, probeStamp: p.Now}
	b.aggregation.begun = p.Now
	b.bounds = bounds{long: Unlimited}
	b.bounds.resetShort()
	b.initPacing(0)
	return b
}

// Window is cwnd, in bytes.
func (b *BBR) Window() int { return b.cwnd }

// Threshold is Unlimited: BBR has none.
func (b *BBR) Threshold() int { return Unlimited }

// PacingRate is how fast segments go out, in bytes a second.
func (b *BBR) PacingRate() float64 { return b.pacing }

// SetMSS changes the unit of the least windows, in bytes.
func (b *BBR) SetMSS(mss int) {
	b.mss = mss
	b.cwnd = max(b.cwnd, mss)
}

// Sent looks for the end of an idle time (section 5.4.1).
func (b *BBR) Sent(s Sent) {
	if s.InFlight > 0 || s.Again {
		return
	}
	b.idleRestart = true
	b.aggregation.begun, b.aggregation.delivered = s.Now, 0
	switch {
	case b.phase.inProbeBW():
		b.setPacing(1)
	case b.phase == probeRTT:
		b.checkProbeRTTDone(s.Now)
	}
}

// Idled does nothing: the model holds for a while, and Sent takes up from it.
func (b *BBR) Idled(time.Time, time.Duration) {}

// Acked updates the model, the state, and what comes of them (section 5.2.3).
func (b *BBR) Acked(a Ack) {
	s := b.sample(a)
	b.noteDelivery(&s)
	b.noteLoss(&s)
	b.noteCongestion(&s)
	b.aggregate(&s)
	b.checkFullPipe(&s)
	b.checkStartupDone(&s)
	b.checkDrainDone(&s)
	b.updateProbeBW(&s)
	b.updateMinRTT(&s)
	b.checkProbeRTT(&s)
	b.advanceDelivery(&s)
	b.bandwidth = min(b.maxBandwidth.max(), b.bounds.bandwidth)

	pacing, _ := b.phase.gains()
	if !b.measured && a.SRTT > 0 {
		b.initPacing(a.SRTT)
	}
	b.setPacing(pacing)
	b.setQuantum()
	b.setWindow(&s)
}

// A sample is an acknowledgement with what BBR makes of it.
type sample struct {
	Ack
	bandwidth float64 // delivery_rate, bytes a second; 0: none
	limited   bool    // is_app_limited
	inFlight  int     // tx_in_flight: when the newest acknowledged data was sent
	lost      int     // since then
	lossRound bool    // loss_round_start: a round of loss detection ends
}

// sample counts what was delivered, and the round trips (section 5.5.1).
func (b *BBR) sample(a Ack) sample {
	s := sample{Ack: a, inFlight: a.Rate.PriorInFlight, lost: a.Rate.Lost}
	r := &b.round
	r.start = false
	if a.Rate.Interval <= 0 { // no sample: the count of round trips goes on all the same
		r.delivered += uint64(max(0, a.Delivered))
		s.limited, s.inFlight, s.lost = true, a.Before, a.Lost
		if a.Round {
			r.begin()
		}
		return s
	}
	r.delivered = max(r.delivered, a.Rate.TotalDelivered)
	s.bandwidth = max(0, a.Rate.BytesPerSecond())
	s.limited = a.Rate.AppLimited || b.limitedTo > 0 && a.Rate.PriorDelivered <= b.limitedTo
	if a.Rate.PriorDelivered >= r.next {
		r.begin()
	}
	return s
}

// rounds counts packet-timed round trips (section 5.5.1).
type rounds struct {
	delivered uint64 // C.delivered, bytes
	next      uint64 // next_round_delivered: the round ends when data is acknowledged that was sent after this
	count     int
	sinceUp   int  // rounds_since_probe_up
	start     bool // this acknowledgement begins a round

	limited, limitedBefore bool // the window was full in this round, in the one before
}

// begin begins the next round.
func (r *rounds) begin() {
	r.restart()
	r.count++
	r.sinceUp++
	r.start = true
	r.limited, r.limitedBefore = false, r.limited
}

// restart lets the round end with what is sent from now on.
func (r *rounds) restart() { r.next = r.delivered }

// limitedByWindow is is_cwnd_limited: within the last round trip.
func (b *BBR) limitedByWindow() bool { return b.round.limited || b.round.limitedBefore }

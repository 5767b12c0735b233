package congestion

import (
	"testing"
	"time"
)

// A rig drives a controller by hand.
type rig struct {
	c     Controller
	now   time.Time
	rtt   time.Duration
	start bool // the next acknowledgement begins a round
	ce    int  // of each acknowledgement
}

func newRig(c Controller, rtt time.Duration) *rig {
	return &rig{c: c, now: time.Unix(1_000_000, 0), rtt: rtt}
}

// segments are n full segments, in bytes.
func segments(n float64) int { return int(n * testMSS) }

// at is a Params with a window of n segments.
func at(n float64) Params {
	return Params{Now: time.Unix(1_000_000, 0), MSS: testMSS, Window: segments(n)}
}

// ack acknowledges n bytes of a full window.
func (r *rig) ack(n int) { r.acknowledge(Ack{Acked: n, Delivered: n, Limited: true}) }

func (r *rig) acknowledge(a Ack) {
	a.Now, a.RTT, a.SRTT, a.MinRTT = r.now, r.rtt, r.rtt, r.rtt
	a.Round = a.Round || r.start
	a.CE = min(r.ce, a.Delivered)
	r.start = false
	r.c.Acked(a)
}

// round acknowledges a window in a round trip, by parts of 10 acknowledgements.
func (r *rig) round() { r.roundOf(10, true) }

func (r *rig) roundOf(parts int, limited bool) {
	r.start = true
	window := r.c.Window()
	for range parts {
		r.now = r.now.Add(r.rtt / time.Duration(parts))
		r.acknowledge(Ack{Acked: window / parts, Delivered: window / parts, Limited: limited, Before: window, InFlight: window})
	}
}

// loss is a loss with n segments in flight.
func (r *rig) loss(n float64) Loss { return Loss{Now: r.now, Flight: segments(n), Lost: testMSS} }

// wants checks window and threshold, in segments, to a byte or two.
func (r *rig) wants(t *testing.T, what string, cwnd, ssthresh float64) {
	t.Helper()
	if got := r.c.Window(); max(got-segments(cwnd), segments(cwnd)-got) > 2 {
		t.Errorf("%s: cwnd is %.3f segments, want %.3f", what, float64(got)/testMSS, cwnd)
	}
	want := segments(ssthresh)
	if ssthresh < 0 {
		want = Unlimited
	}
	if got := r.c.Threshold(); max(got-want, want-got) > 2 {
		t.Errorf("%s: ssthresh is %.3f segments, want %.3f", what, float64(got)/testMSS, ssthresh)
	}
}

const unset = -1 // a threshold that is Unlimited

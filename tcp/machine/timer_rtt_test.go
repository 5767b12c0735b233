package machine

import (
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
)

// TestRTT: RFC6298-2: the estimator by the formulas of section 2.
func TestRTT(t *testing.T) {
	const ms = time.Millisecond
	r := newRTT(200 * ms)
	if got := r.rto(); got != time.Second {
		t.Errorf("RTO before any sample is %v (2.1)", got)
	}
	for _, c := range []struct{ sample, srtt, rttvar, rto time.Duration }{
		{100 * ms, 100 * ms, 50 * ms, 300 * ms},                                                    // (2.2)
		{100 * ms, 100 * ms, 37500 * time.Microsecond, 250 * ms},                                   // (2.3)
		{180 * ms, 110 * ms, 48125 * time.Microsecond, 302500 * time.Microsecond},                  //
		{10 * ms, 97500 * time.Microsecond, 61093750 * time.Nanosecond, 341875 * time.Microsecond}, // RTTVAR before SRTT
	} {
		r.sample(tcptest.Start, c.sample)
		if r.srtt != c.srtt || r.rttvar != c.rttvar || r.rto() != c.rto {
			t.Errorf("after %v: SRTT %v RTTVAR %v RTO %v, want %v %v %v", c.sample, r.srtt, r.rttvar, r.rto(), c.srtt, c.rttvar, c.rto)
		}
	}
	if r.min != 10*ms || r.latest != 10*ms {
		t.Errorf("least %v, latest %v", r.min, r.latest)
	}
}

// TestRTTBounds: RFC6298-2.4, RFC6298-2.5, RFC6298-5.5: the RTO stays between its bounds, however often it doubles.
func TestRTTBounds(t *testing.T) {
	r := newRTT(200 * time.Millisecond)
	r.sample(tcptest.Start, time.Microsecond)
	if got := r.rto(); got != 200*time.Millisecond {
		t.Errorf("least RTO %v", got)
	}
	last := r.rto()
	for range 100 {
		r.backoff++
		if got := r.rto(); got != min(2*last, maxRTO) {
			t.Fatalf("backoff %d: RTO %v after %v", r.backoff, got, last)
		}
		last = r.rto()
	}
	r.sample(tcptest.Start, time.Hour)
	if got := r.rto(); got != maxRTO {
		t.Errorf("largest RTO %v", got)
	}
}

// TestRTTMinimum: RFC8985-6.2: the least round trip is that of the last minutes, so
// that a path may become longer.
func TestRTTMinimum(t *testing.T) {
	r := newRTT(200 * time.Millisecond)
	at := tcptest.Start
	for _, c := range []struct {
		after       time.Duration
		sample, min time.Duration
	}{
		{0, 50, 50},
		{time.Minute, 20, 20},
		{time.Minute, 90, 20},
		{2 * minWindow, 80, 20}, // the last window had 20
		{time.Minute, 70, 20},
		{2 * minWindow, 100, 70},
		{2 * minWindow, 110, 100},
	} {
		at = at.Add(c.after)
		r.sample(at, c.sample*time.Millisecond)
		if want := c.min * time.Millisecond; r.min != want {
			t.Errorf("at %v: least %v, want %v", at.Sub(tcptest.Start), r.min, want)
		}
	}
}

package congestion

import (
	"testing"
	"time"
)

// TestEchoDoesNotGrow: RFC3168-6.1.2: an acknowledgement that tells of marks
// lets the window not grow, in slow start or after.
func TestEchoDoesNotGrow(t *testing.T) {
	for _, threshold := range []int{Unlimited, 10000} {
		r := NewReno(Params{MSS: 1000})
		r.Ssthresh = threshold
		a := Ack{Now: time.Unix(1, 0), Acked: 10000, Delivered: 10000, Before: 10000, Limited: true, CE: 10000}
		r.Acked(a)
		if r.Window() != 10000 {
			t.Errorf("threshold %d: the window is %d after an echo", threshold, r.Window())
		}
		a.CE = 0
		r.Acked(a)
		if r.Window() <= 10000 {
			t.Errorf("threshold %d: the window is %d after no echo", threshold, r.Window())
		}
	}
}

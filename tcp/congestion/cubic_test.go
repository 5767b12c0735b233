package congestion

import (
	"math"
	"testing"
	"time"
)

// wCubic is figure 1 of RFC 9438, in segments.
func wCubic(t, k, wMax float64) float64 { return 0.4*math.Pow(t-k, 3) + wMax }

// TestCubicFunction runs through the concave and the convex region.
func TestCubicFunction(t *testing.T) {
	for _, x := range []struct {
		id    string
		wMax  float64 // segments
		rtt   time.Duration
		parts int
		time  float64 // seconds
	}{
		{"RFC9438-4.2, RFC9438-4.4, RFC9438-4.5", 1000, 100 * time.Millisecond, 20, 20},
		{"RFC9438-4.2, RFC9438-4.4: a short round trip", 4000, 20 * time.Millisecond, 10, 20},
		{"RFC9438-4.2, RFC9438-4.4: one acknowledgement a round trip", 1000, 100 * time.Millisecond, 1, 12},
		{"RFC9438-4.2, RFC9438-4.4: a gigabyte in flight", 700_000, time.Second, 5000, 60},
	} {
		t.Run(x.id, func(t *testing.T) {
			c := NewCubic(at(x.wMax))
			r := newRig(c, x.rtt)
			c.Lost(r.loss(x.wMax))
			r.wants(t, "loss", 0.7*x.wMax, 0.7*x.wMax)
			c.Recovered(r.now)
			r.ack(1) // the epoch begins
			began := r.now
			k := math.Cbrt(x.wMax * 0.3 / 0.4)
			for s := 0.0; s < x.time; s = r.now.Sub(began).Seconds() {
				r.roundOf(x.parts, true)
				at := r.now.Sub(began).Seconds()
				w := float64(c.Cwnd) / testMSS
				low, high := wCubic(at-2*x.rtt.Seconds(), k, x.wMax), wCubic(at+x.rtt.Seconds(), k, x.wMax)
				if w < 0.7*x.wMax || at > 2*x.rtt.Seconds() && w < low-1 || w > high+1 {
					t.Fatalf("after %.2f s of K %.2f s the window is %.1f, want %.1f to %.1f", at, k, w, low, high)
				}
			}
		})
	}
}

func TestCubic(t *testing.T) {
	rtt := 10 * time.Millisecond
	t.Run("RFC9438-4.2: the target is 1.5 windows at most, however long it took", func(t *testing.T) {
		for _, pause := range []time.Duration{time.Hour, 1e5 * time.Hour, math.MaxInt64} {
			c := NewCubic(at(100))
			r := newRig(c, rtt)
			c.Lost(r.loss(100))
			r.ack(1)
			r.now = r.now.Add(pause)
			r.ack(c.Cwnd)
			if w := float64(c.Cwnd) / testMSS; w < 104.9 || w > 105.1 {
				t.Errorf("after %v: %.1f segments", pause, w)
			}
		}
	})
	t.Run("RFC9438-4.3: as fast as Reno where that is faster", func(t *testing.T) {
		c := NewCubic(at(20))
		r := newRig(c, rtt)
		c.Lost(r.loss(20))
		r.ack(1)
		for range 10 {
			r.roundOf(14, true)
		}
		// 0.529 of a segment a round, up to the window before the loss.
		if w := float64(c.Cwnd) / testMSS; w < 18.5 || w > 19.5 {
			t.Errorf("after 10 rounds %.2f, want about 14+5.3", w)
		}
		for range 20 {
			r.roundOf(20, true)
		}
		if w := float64(c.Cwnd) / testMSS; w < 37 || w > 39 {
			t.Errorf("after 30 rounds %.2f, want about 20+18", w)
		}
	})
	t.Run("RFC9438-4.6: 0.7 of FlightSize, and two segments at least", func(t *testing.T) {
		for _, x := range []struct{ flight, want float64 }{{100, 70}, {50, 35}, {2, 2}} {
			r := newRig(NewCubic(at(100)), rtt)
			r.c.Lost(r.loss(x.flight))
			r.wants(t, "loss", x.want, x.want)
		}
	})
	t.Run("RFC9438-4.7: fast convergence gives room when the window has become less", func(t *testing.T) {
		c := NewCubic(at(1000))
		r := newRig(c, rtt)
		c.Lost(r.loss(1000))
		c.Lost(r.loss(700))
		if got := c.wMax / testMSS; math.Abs(got-700*0.85) > 0.1 {
			t.Errorf("W_max %.1f, want 595", got)
		}
		c.setWindow(segments(800))
		c.Lost(r.loss(800))
		if got := c.wMax / testMSS; math.Abs(got-800) > 0.1 {
			t.Errorf("W_max %.1f after the window has grown, want 800", got)
		}
	})
	t.Run("RFC9438-4.8: after a timeout the function begins at its plateau", func(t *testing.T) {
		c := NewCubic(at(1000))
		r := newRig(c, 100*time.Millisecond)
		c.TimedOut(r.loss(1000))
		r.wants(t, "timeout", 1, 700)
		c.Recovered(r.now)
		for c.Cwnd < c.Ssthresh {
			r.round()
		}
		r.ack(1)
		if c.epoch.k != 0 || int(c.wMax) > c.Cwnd+1 {
			t.Errorf("K %v, W_max %.0f, cwnd %d", c.epoch.k, c.wMax, c.Cwnd)
		}
		began, from := r.now, float64(c.Cwnd)/testMSS
		for r.now.Sub(began) < 8*time.Second {
			r.round()
		}
		if w, want := float64(c.Cwnd)/testMSS-from, 0.4*8*8*8; w < 0.9*want || w > 1.1*want {
			t.Errorf("in 8 s %.1f more, want %.1f", w, want)
		}
	})
	t.Run("RFC9438-4.10: so too when HyStart++ ends slow start without a loss", func(t *testing.T) {
		c := NewCubic(at(100))
		c.Ssthresh = c.Cwnd
		r := newRig(c, rtt)
		r.ack(1)
		if c.epoch.k != 0 || int(c.wMax) != c.Ssthresh || int(c.prior) != c.Ssthresh {
			t.Errorf("K %v, W_max %v, cwnd_prior %v", c.epoch.k, c.wMax, c.prior)
		}
	})
}

func TestCubicUndo(t *testing.T) {
	congest := map[string]func(c *Cubic, l Loss){
		"RFC9438-4.9.1: a timeout": func(c *Cubic, l Loss) { c.TimedOut(l) },
		"RFC9438-4.9.2: a loss":    func(c *Cubic, l Loss) { c.Lost(l) },
	}
	for id, happens := range congest {
		t.Run(id, func(t *testing.T) {
			c := NewCubic(at(1000))
			r := newRig(c, 100*time.Millisecond)
			c.Lost(r.loss(1000))
			for range 30 {
				r.round()
			}
			cwnd, ssthresh, state := c.Cwnd, c.Ssthresh, c.cubicState
			happens(c, r.loss(float64(cwnd)/testMSS))
			c.Undo(r.now)
			if c.Cwnd != cwnd || c.Ssthresh != ssthresh || c.cubicState != state {
				t.Errorf("window %d %d, want %d %d; %+v, want %+v", c.Cwnd, c.Ssthresh, cwnd, ssthresh, c.cubicState, state)
			}
			r.round()
			if c.Cwnd < cwnd || !c.epoch.running || c.epoch.elapsed < 2*time.Second {
				t.Errorf("the epoch has begun anew: %+v", c.epoch)
			}
		})
	}
	t.Run("RFC9438-4.9.2: a window that has grown beyond stays", func(t *testing.T) {
		c := NewCubic(at(100))
		r := newRig(c, 100*time.Millisecond)
		c.Lost(r.loss(100))
		c.setWindow(segments(120))
		wMax := c.wMax
		c.Undo(r.now)
		r.wants(t, "late undo", 120, 70)
		if c.wMax != wMax {
			t.Error("W_max was taken back")
		}
	})
}

// TestCubicLimited: the epoch stands still while the application limits.
func TestCubicLimited(t *testing.T) {
	pauses := map[string]func(r *rig){
		"RFC9438-5.8: idle": func(r *rig) {
			r.now = r.now.Add(20 * time.Second)
			r.c.Idled(r.now, 20*time.Second)
		},
		"RFC9438-5.8: little to send": func(r *rig) {
			for range 200 {
				r.roundOf(10, false)
			}
		},
		"RFC9438-5.8: recovery": func(r *rig) {
			for range 200 {
				r.now = r.now.Add(r.rtt)
				r.acknowledge(Ack{Acked: testMSS, Delivered: testMSS, Limited: true, Recovering: true})
			}
		},
	}
	for id, pause := range pauses {
		t.Run(id, func(t *testing.T) {
			r := newRig(NewCubic(at(1000)), 100*time.Millisecond)
			c := r.c.(*Cubic)
			c.Lost(r.loss(1000))
			for range 20 {
				r.round()
			}
			before := c.Cwnd
			pause(r)
			if c.Cwnd != before {
				t.Errorf("the window went from %d to %d", before, c.Cwnd)
			}
			elapsed := c.epoch.elapsed
			r.round()
			if got := c.epoch.elapsed - elapsed; got > 2*r.rtt {
				t.Errorf("the epoch has gone on for %v", got)
			}
			if c.Cwnd > before+segments(60) {
				t.Errorf("a jump of %d segments", (c.Cwnd-before)/testMSS)
			}
		})
	}
}

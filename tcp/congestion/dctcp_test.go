package congestion

import (
	"math"
	"testing"
)

func TestDCTCP(t *testing.T) {
	start := func(cwnd float64) (*rig, *DCTCP) {
		d := NewDCTCP(at(cwnd))
		d.Ssthresh = segments(cwnd)
		return newRig(d, 10*ms), d
	}
	t.Run("RFC8257-3.2: it asks for precise feedback", func(t *testing.T) {
		var c Controller = NewDCTCP(at(10))
		if _, ok := c.(Precise); !ok {
			t.Error("it does not")
		}
		if _, ok := Controller(NewReno(at(10))).(Precise); ok {
			t.Error("Reno does too")
		}
	})
	t.Run("RFC8257-3.3: alpha begins with 1, and follows by a sixteenth a window", func(t *testing.T) {
		r, d := start(100)
		if d.Alpha != 1 {
			t.Errorf("alpha %v", d.Alpha)
		}
		r.round()
		want := 1.0
		for range 50 {
			r.round()
			want *= 15.0 / 16
			if math.Abs(d.Alpha-want) > 1e-9 {
				t.Fatalf("alpha %v, want %v", d.Alpha, want)
			}
		}
	})
	t.Run("RFC8257-3.3: alpha comes to the fraction that is marked", func(t *testing.T) {
		r, d := start(1000)
		for range 200 {
			d.setWindow(segments(1000))
			d.reduced = true
			r.ce = segments(25) // of 100 segments
			r.round()
		}
		if math.Abs(d.Alpha-0.25) > 0.01 {
			t.Errorf("alpha %v, want 0.25", d.Alpha)
		}
	})
	t.Run("RFC8257-3.3: a mark reduces by half of alpha, once a window", func(t *testing.T) {
		r, d := start(100)
		r.round() // counts nothing yet
		d.setWindow(segments(100))
		d.Alpha = 0.5
		r.ce = testMSS
		r.start = true
		r.ack(segments(1))
		alpha := d.Alpha // the unmarked window has ended
		if math.Abs(alpha-0.5*15/16) > 1e-9 {
			t.Errorf("alpha %v", alpha)
		}
		r.wants(t, "a mark", 100*(1-alpha/2), 100*(1-alpha/2))
		d.Marked(r.loss(90))
		r.ack(segments(1))
		r.wants(t, "marks of the same window", 100*(1-alpha/2), 100*(1-alpha/2))
	})
	t.Run("RFC8257-3.3: a mark that begins a window reduces once, though Marked and Acked both tell of it", func(t *testing.T) {
		r, d := start(100)
		d.Alpha = 0.5
		d.Marked(r.loss(100))
		r.ce, r.start = testMSS, true
		r.ack(segments(1))
		r.wants(t, "a mark", 75, 75)
	})
	t.Run("RFC8257-3.3: the first mark halves", func(t *testing.T) {
		r, d := start(100)
		d.Marked(r.loss(100))
		r.wants(t, "a mark", 50, 50)
	})
	t.Run("RFC8257-3.5: a loss is as in Reno, marks of its window do nothing more", func(t *testing.T) {
		r, d := start(100)
		d.Alpha = 0.1
		d.Lost(r.loss(100))
		d.Marked(r.loss(50))
		r.wants(t, "a loss", 50, 50)
		d.Undo(r.now)
		r.wants(t, "RFC4015-3.4: undo", 100, 100)
		d.TimedOut(r.loss(100))
		r.wants(t, "a timeout", 1, 50)
	})
}

package congestion

import (
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	for _, name := range Names() {
		f, ok := ByName(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		if c := f(Params{MSS: testMSS}); c.Window() != InitialWindow(testMSS) {
			t.Errorf("%s begins with %d bytes", name, c.Window())
		}
	}
	if _, ok := ByName("vegas"); ok {
		t.Error("there is a vegas")
	}
}

func TestReno(t *testing.T) {
	rtt := 100 * time.Millisecond
	t.Run("RFC5681-3.1: slow start doubles, and stops at ssthresh", func(t *testing.T) {
		c := NewReno(at(10))
		r := newRig(c, rtt)
		r.round()
		r.wants(t, "a round", 20, unset)
		c.Ssthresh = segments(30)
		r.round()
		r.wants(t, "another", 30, 30)
	})
	t.Run("RFC5681-3.1: congestion avoidance adds a segment a round trip", func(t *testing.T) {
		c := NewReno(at(20))
		c.Ssthresh = segments(20)
		r := newRig(c, rtt)
		for range 10 {
			r.round()
		}
		r.wants(t, "10 rounds", 30, 20)
	})
	t.Run("RFC3465-2.1: one acknowledgement of a train counts as its segments", func(t *testing.T) {
		c := NewReno(at(44))
		newRig(c, rtt).ack(segments(44))
		if c.Cwnd != segments(88) {
			t.Errorf("window %d", c.Cwnd)
		}
	})
	t.Run("RFC5681-3.1: loss halves FlightSize, two segments are left", func(t *testing.T) {
		for _, x := range []struct{ cwnd, flight, want float64 }{{40, 40, 20}, {40, 30, 15}, {40, 50, 20}, {4, 3, 2}} {
			r := newRig(NewReno(at(x.cwnd)), rtt)
			r.c.Lost(r.loss(x.flight))
			r.wants(t, "loss", x.want, x.want)
		}
	})
	t.Run("RFC5681-3.1: a timeout leaves one segment, a repeated one ssthresh as it is", func(t *testing.T) {
		r := newRig(NewReno(at(40)), rtt)
		r.c.TimedOut(r.loss(40))
		r.wants(t, "timeout", 1, 20)
		again := r.loss(1)
		again.Again = true
		r.c.TimedOut(again)
		r.wants(t, "again", 1, 20)
		r.c.Undo(r.now)
		r.wants(t, "RFC4015-3.4: undo", 40, unset)
	})
	t.Run("RFC5681-3.2: the window does not grow in fast recovery, but while a timeout is repaired", func(t *testing.T) {
		r := newRig(NewReno(at(40)), rtt)
		r.c.Lost(r.loss(40))
		r.acknowledge(Ack{Acked: segments(10), Delivered: segments(10), Limited: true, Recovering: true})
		r.wants(t, "recovery", 20, 20)
		r.c.TimedOut(r.loss(20))
		r.acknowledge(Ack{Acked: segments(1), Delivered: segments(1), Limited: true})
		r.wants(t, "repair", 2, 10)
	})
	t.Run("RFC4015-3.4: undo once only", func(t *testing.T) {
		r := newRig(NewReno(at(40)), rtt)
		r.c.Lost(r.loss(40))
		r.c.Undo(r.now)
		r.wants(t, "undo", 40, unset)
		r.c.Lost(r.loss(40))
		r.c.Marked(r.loss(20))
		r.c.Undo(r.now)
		if r.c.Window() != segments(16) {
			t.Errorf("the mark was undone: %d", r.c.Window())
		}
	})
}

// TestABE: the answer to a mark.
func TestABE(t *testing.T) {
	for _, x := range []struct {
		id, name           string
		cwnd, ssthresh     float64
		flight             float64
		wantCwnd, wantLeft float64
	}{
		{"RFC8511-3: 0.8 in congestion avoidance", "reno", 100, 50, 100, 80, 80},
		{"RFC8511-3: 0.85 in congestion avoidance", "cubic", 100, 50, 100, 85, 85},
		{"RFC8511-3: as a loss in slow start", "reno", 100, unset, 100, 50, 50},
		{"RFC8511-3: as a loss in slow start", "cubic", 100, unset, 100, 70, 70},
		{"RFC8511-3: ssthresh of two segments at least", "reno", 2, 2, 2, 1.6, 2},
		{"RFC3168-6.1.2: down to one segment", "reno", 1, 1, 1, 1, 2},
		{"RFC9438-4.6: down to one segment", "cubic", 1, 1, 1, 1, 2},
	} {
		t.Run(x.id+", "+x.name, func(t *testing.T) {
			r := newRig(factory(t, x.name)(at(x.cwnd)), 100*time.Millisecond)
			reno, ok := r.c.(*Reno)
			if !ok {
				reno = &r.c.(*Cubic).Reno
			}
			if x.ssthresh > 0 {
				reno.Ssthresh = segments(x.ssthresh)
			}
			r.c.Marked(r.loss(x.flight))
			r.wants(t, "mark", x.wantCwnd, x.wantLeft)
		})
	}
}

// TestNoAllocations: nothing is allocated for a packet.
func TestNoAllocations(t *testing.T) {
	for _, name := range Names() {
		r := newRig(factory(t, name)(at(100)), 10*ms)
		if n := testing.AllocsPerRun(100, func() {
			r.c.Sent(Sent{Now: r.now, Bytes: testMSS, InFlight: testMSS})
			r.round()
			r.c.Marked(r.loss(10))
			r.c.Lost(r.loss(10))
			r.c.Recovered(r.now)
			r.c.Undo(r.now)
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

package congestion

import (
	"testing"
	"time"
)

// use lets the controller send n segments a round trip for d, of a larger
// window.
func (r *rig) use(n float64, d time.Duration) {
	for end := r.now.Add(d); r.now.Before(end); {
		r.now = r.now.Add(r.rtt)
		r.acknowledge(Ack{Acked: segments(n), Delivered: segments(n), Round: true, Before: segments(n)})
	}
}

// newWindow is a controller of RFC 7661 in congestion avoidance.
func newWindow(t *testing.T, name string, cwnd float64) (*rig, *Reno) {
	t.Helper()
	r := newRig(factory(t, name)(at(cwnd)), 100*ms)
	c, ok := r.c.(*Reno)
	if !ok {
		c = &r.c.(*Cubic).Reno
	}
	c.Ssthresh = segments(cwnd)
	return r, c
}

func TestValidationPhases(t *testing.T) {
	for _, x := range []struct {
		id   string
		do   func(r *rig)
		want bool // nonvalidated
	}{
		{"RFC7661-4.2: undefined at first", func(r *rig) { r.use(1, 100*ms) }, false},
		{"RFC7661-4.3: less than half of the window", func(r *rig) { r.use(49, time.Second) }, true},
		{"RFC7661-4.3: half of the window", func(r *rig) { r.use(50, time.Second) }, false},
		{"RFC7661-4.3: and back", func(r *rig) { r.use(10, time.Second); r.use(60, 300*ms) }, false},
		{"RFC7661-4.2: the sampling period remembers", func(r *rig) { r.use(60, time.Second); r.use(10, 600*ms) }, false},
		{"RFC7661-4.2: for a second", func(r *rig) { r.use(60, time.Second); r.use(10, 1500*ms) }, true},
		{"RFC7661-4.2: undefined after recovery", func(r *rig) {
			r.use(10, time.Second)
			r.c.Lost(r.loss(10))
			r.c.Recovered(r.now)
			r.use(1, 100*ms)
		}, false},
		{"RFC7661-4.3: idle", func(r *rig) { r.round(); r.now = r.now.Add(time.Minute); r.c.Idled(r.now, time.Minute) }, true},
		{"RFC7661-4.3: a full window is none", func(r *rig) { r.round(); r.round(); r.round() }, false},
	} {
		t.Run(x.id, func(t *testing.T) {
			for _, name := range []string{"reno", "cubic"} {
				r, c := newWindow(t, name, 100)
				x.do(r)
				if got := c.validation.nonvalidated; got != x.want {
					t.Errorf("%s: nonvalidated %v: %+v", name, got, c.validation)
				}
				if paced := c.PacingRate() > 0; paced != x.want {
					t.Errorf("%s: RFC7661-4.4.2: paced %v", name, paced)
				}
			}
		})
	}
	t.Run("RFC7661-4.3: slow start does not enter it", func(t *testing.T) {
		r := newRig(NewReno(at(10)), 100*ms)
		for range 8 {
			r.round()
			if r.c.(*Reno).validation.nonvalidated {
				t.Fatal("nonvalidated")
			}
		}
	})
}

func TestValidationLoss(t *testing.T) {
	t.Run("RFC7661-4.4.1: half of what was used, and then less what was lost", func(t *testing.T) {
		r, _ := newWindow(t, "reno", 100)
		r.use(30, time.Second)
		r.c.Lost(r.loss(20))
		r.wants(t, "loss", 15, 15) // of pipeACK, which is more than FlightSize
		r.c.Sent(Sent{Now: r.now, Bytes: segments(4), Again: true})
		r.c.Sent(Sent{Now: r.now, Bytes: segments(4)})
		r.c.Recovered(r.now)
		r.wants(t, "recovered", 13, 13)
	})
	t.Run("RFC7661-4.4.1: FlightSize where that is more", func(t *testing.T) {
		r, _ := newWindow(t, "reno", 100)
		r.use(10, time.Second)
		r.c.Lost(r.loss(60))
		r.wants(t, "loss", 30, 30)
		r.c.Recovered(r.now)
		r.wants(t, "recovered", 30, 30)
	})
	t.Run("RFC7661-4.4.1: one segment is left", func(t *testing.T) {
		r, _ := newWindow(t, "reno", 100)
		r.use(5, time.Second)
		r.c.Lost(r.loss(5))
		r.c.Sent(Sent{Now: r.now, Bytes: segments(500), Again: true})
		r.c.Recovered(r.now)
		r.wants(t, "recovered", 1, 2)
	})
	t.Run("RFC7661-4.4.1: CUBIC by its own factor", func(t *testing.T) {
		r, _ := newWindow(t, "cubic", 100)
		r.use(30, time.Second)
		r.c.Lost(r.loss(20))
		r.wants(t, "loss", 21, 21)
	})
	t.Run("RFC7661-4.4: a timeout counts FlightSize alone", func(t *testing.T) {
		r, _ := newWindow(t, "reno", 100)
		r.use(30, time.Second)
		r.c.TimedOut(r.loss(10))
		r.wants(t, "timeout", 1, 5)
	})
	t.Run("RFC7661-4.3: a validated window as ever", func(t *testing.T) {
		r, _ := newWindow(t, "reno", 100)
		r.use(60, time.Second)
		r.c.Lost(r.loss(40))
		r.c.Sent(Sent{Now: r.now, Bytes: segments(10), Again: true})
		r.c.Recovered(r.now)
		r.wants(t, "recovered", 20, 20)
	})
}

func TestValidationPeriod(t *testing.T) {
	idle := func(d time.Duration) func(r *rig) {
		return func(r *rig) { r.now = r.now.Add(d); r.c.Idled(r.now, d) }
	}
	for _, x := range []struct {
		id             string
		do             func(r *rig)
		cwnd, ssthresh float64
	}{
		{"RFC7661-4.3: five minutes idle keep the window", idle(299 * time.Second), 100, 60},
		{"RFC7661-4.4.3: then it is halved, and ssthresh remembers", idle(301 * time.Second), 50, 75},
		{"RFC7661-4.4.3: and again", idle(601 * time.Second), 25, 75},
		{"RFC7661-4.4.3: but not below the initial window", idle(240 * time.Hour), 10, 75},
		{"RFC7661-4.4.3: so too with a little to send", func(r *rig) { r.use(10, 302*time.Second) }, 50, 75},
		{"RFC7661-4.3: not if the window was used meanwhile", func(r *rig) {
			r.use(10, 200*time.Second)
			r.use(60, time.Second)
			r.use(10, 200*time.Second)
		}, 100, 60},
	} {
		t.Run(x.id, func(t *testing.T) {
			for _, name := range []string{"reno", "cubic"} {
				r, c := newWindow(t, name, 100)
				c.Ssthresh = segments(60)
				x.do(r)
				r.wants(t, name, x.cwnd, x.ssthresh)
			}
		})
	}
	t.Run("RFC5681-4.1: in place of the restart window", func(t *testing.T) {
		r, _ := newWindow(t, "reno", 100)
		idle(10 * time.Second)(r)
		r.wants(t, "idle", 100, 100)
	})
}

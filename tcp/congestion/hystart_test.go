package congestion

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// TestHyStart feeds rounds of round-trip times, and looks at what it is then:
// in slow start, in conservative slow start, or done.
func TestHyStart(t *testing.T) {
	many := func(rtt time.Duration) []time.Duration {
		list := make([]time.Duration, 10)
		for i := range list {
			list[i] = rtt + time.Duration(i)*ms
		}
		return list
	}
	const slow, css, done = "slow start", "CSS", "done"
	type round struct {
		rtts []time.Duration
		want string
	}
	for id, rounds := range map[string][]round{
		"RFC9406-4.2: a steady path": {
			{many(40 * ms), slow}, {many(40 * ms), slow}, {many(41 * ms), slow}, {many(44 * ms), slow},
		},
		"RFC9406-4.2: an eighth of the round-trip time more": {
			{many(40 * ms), slow}, {many(45 * ms), css},
		},
		"RFC9406-4.2: less than MIN_RTT_THRESH": {
			{many(1 * ms), slow}, {many(4 * ms), slow}, {many(8 * ms), css},
		},
		"RFC9406-4.2: MAX_RTT_THRESH is enough": {
			{many(400 * ms), slow}, {many(415 * ms), slow}, {many(431 * ms), css},
		},
		"RFC9406-4.2: five rounds of CSS end it, the first included": {
			{many(40 * ms), slow}, {many(50 * ms), css}, {many(60 * ms), css}, {many(60 * ms), css},
			{many(60 * ms), css}, {many(60 * ms), css}, {many(60 * ms), done},
		},
		"RFC9406-4.2: slow start goes on when it was jitter": {
			{many(40 * ms), slow}, {many(50 * ms), css}, {many(50 * ms), css}, {many(49 * ms), slow}, {many(49 * ms), slow}, {many(56 * ms), css},
		},
		"RFC9406-4.2: seven samples decide nothing in the midst of a round": {
			{many(40 * ms), slow}, {many(50 * ms)[:7], slow},
		},
		"RFC9406-4.2: but at its end, for there will be no more": {
			{many(40 * ms), slow}, {many(50 * ms)[:7], slow}, {many(50 * ms)[:1], css},
		},
		"RFC9406-4.2: one acknowledgement a round": {
			{many(40 * ms)[:1], slow}, {many(40 * ms)[:1], slow}, {many(50 * ms)[:1], slow}, {many(60 * ms)[:1], css},
			{many(45 * ms)[:1], css}, {many(45 * ms)[:1], slow},
		},
		"RFC9406-4.2: a round without a sample": {
			{many(40 * ms), slow}, {nil, slow}, {many(60 * ms), slow}, {many(70 * ms), css},
		},
	} {
		t.Run(id, func(t *testing.T) {
			var h hystart
			for i, r := range rounds {
				start := true
				if len(r.rtts) == 0 {
					h.acked(Ack{Round: true})
				}
				for _, rtt := range r.rtts {
					h.acked(Ack{Round: start, RTT: rtt})
					start = false
				}
				got := slow
				switch {
				case h.done:
					got = done
				case h.baseline > 0:
					got = css
				}
				if got != r.want {
					t.Fatalf("round %d: %s, want %s: %+v", i, got, r.want, h)
				}
			}
		})
	}
}

func TestHyStartGrowth(t *testing.T) {
	for _, x := range []struct {
		id      string
		css     bool
		n, want int
	}{
		{"RFC9406-4.2: slow start", false, segments(44), segments(44)},
		{"RFC9406-4.2: L is a train", false, segments(440), 65536},
		{"RFC9406-4.2: CSS_GROWTH_DIVISOR", true, segments(44), segments(11)},
		{"RFC9406-4.2: CSS and L", true, segments(440), 65536 / 4},
	} {
		t.Run(x.id, func(t *testing.T) {
			var h hystart
			if x.css {
				h.baseline = ms
			}
			if got := h.growth(x.n, testMSS); got != x.want {
				t.Errorf("%d bytes acknowledged let the window grow by %d, want %d", x.n, got, x.want)
			}
		})
	}
	t.Run("RFC9406-4.2: L is eight segments where these are more than a train", func(t *testing.T) {
		if got := (&hystart{}).growth(1<<20, 9000); got != 72000 {
			t.Errorf("%d", got)
		}
	})
}

// TestHyStartReno: the end of slow start, as a controller sees it.
func TestHyStartReno(t *testing.T) {
	c := NewReno(at(10))
	c.HyStart = true
	r := newRig(c, 40*ms)
	r.round()
	r.round()
	r.wants(t, "RFC9406-4.2: two rounds of slow start", 40, unset)
	r.rtt = 50 * ms
	r.round() // eight of the ten acknowledgements are in slow start, or seven; the others in CSS
	if w := c.Cwnd / testMSS; w < 65 || w > 75 {
		t.Errorf("the window is %d segments", w)
	}
	for range 5 {
		r.round()
	}
	if c.Ssthresh > c.Cwnd || c.Ssthresh < c.Cwnd/2 {
		t.Errorf("RFC9406-4.2: ssthresh %d, cwnd %d", c.Ssthresh, c.Cwnd)
	}
	before := c.Cwnd
	r.round()
	if c.Cwnd > before+testMSS {
		t.Errorf("it grows on by %d", c.Cwnd-before)
	}
	t.Run("RFC9406-4.3: for the first slow start only", func(t *testing.T) {
		c.TimedOut(r.loss(40))
		c.Recovered(r.now)
		r.rtt = 100 * ms
		for range 3 {
			r.round()
		}
		r.wants(t, "three rounds after a timeout", 8, 20)
	})
}

package congestion

import (
	"fmt"
	"math"
	"testing"
	"time"
)

const mbit = 1e6 / 8 // a second, in bytes

func factory(t *testing.T, name string) Factory {
	t.Helper()
	f, ok := ByName(name)
	if !ok {
		t.Fatalf("no controller %s", name)
	}
	return f
}

// TestBottleneckAlone is one flow on 20 Mbit/s and 40 ms, after ten seconds.
//
// Reno needs a buffer of one bandwidth-delay product to use all of the rate;
// with a buffer of b products it uses (3/4)(1+b)^2/(1+b+b^2). For CUBIC, whose
// window goes down to 0.7, it is 3/7 of a product. BBR is to leave the queue
// empty whatever the buffer is, and DCTCP to stay about where the queue marks.
func TestBottleneckAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const renoQuarter = 0.75 * 1.25 * 1.25 / (1 + 0.25 + 0.25*0.25) // 0.893
	for _, x := range []struct {
		name       string
		buffer     float64 // bandwidth-delay products
		coalesce   int
		used       float64       // of the rate, at least
		waits      time.Duration // on average, at most
		recoveries int           // in a minute, at most
	}{
		{"reno", 0.25, 1, 0.97 * renoQuarter, 10 * ms, 60},
		{"reno", 1, 2, 0.99, 40 * ms, 25},
		{"reno", 4, 44, 0.98, 160 * ms, 10},
		{"cubic", 0.25, 1, 0.95, 10 * ms, 40},
		{"cubic", 1, 2, 0.99, 40 * ms, 25},
		{"cubic", 1, 44, 0.95, 40 * ms, 25},
		{"cubic", 4, 2, 0.99, 160 * ms, 15},
		{"dctcp", 1, 2, 0.98, 12 * ms, 0},
		{"dctcp", 1, 16, 0.95, 16 * ms, 0},
		{"bbr", 0.25, 2, 0.93, 5 * ms, 60},
		{"bbr", 1, 2, 0.94, 8 * ms, 5},
		{"bbr", 4, 2, 0.94, 8 * ms, 0},
		{"bbr", 4, 44, 0.94, 12 * ms, 0},
	} {
		t.Run(fmt.Sprintf("%s, buffer %.2f, acknowledgements of %d", x.name, x.buffer, x.coalesce), func(t *testing.T) {
			b := &bottleneck{rate: 20 * mbit, rtt: 40 * ms, coalesce: x.coalesce}
			b.buffer = int(x.buffer * float64(b.bdp()))
			if x.name == "dctcp" {
				b.mark = b.bdp() / 5 // 8 ms
			}
			f := b.add(0, factory(t, x.name))
			b.run(10 * time.Second)
			before := f.recoveries
			b.measure()
			b.run(60 * time.Second)
			t.Logf("used %.3f, waited %v, %d recoveries, %d timeouts", b.utilisation(), b.queueDelay(), f.recoveries-before, f.timeouts)
			if u := b.utilisation(); u < x.used || u > 1.001 {
				t.Errorf("%.3f of the rate is used, want %.3f", u, x.used)
			}
			if b.queueDelay() > x.waits {
				t.Errorf("segments wait for %v, want %v at most", b.queueDelay(), x.waits)
			}
			if n := f.recoveries - before; n > x.recoveries || f.timeouts > 0 {
				t.Errorf("%d recoveries, %d timeouts", n, f.timeouts)
			}
		})
	}
}

// TestBottleneckLoss compares the window with what theory has for one loss in
// so many segments: Reno's is sqrt(3/2p) (Mathis et al.), CUBIC's is the
// larger of that and of 1.054 (RTT/p)^(3/4) (RFC 9438 section 5.1), in
// segments.
func TestBottleneckLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, x := range []struct {
		name  string
		every int
	}{
		{"reno", 100}, {"reno", 1000}, {"reno", 10_000},
		{"cubic", 100}, {"cubic", 1000}, {"cubic", 10_000},
		{"dctcp", 1000},
	} {
		t.Run(fmt.Sprintf("RFC9438-5.1: %s, a loss in %d", x.name, x.every), func(t *testing.T) {
			b := &bottleneck{rate: 10_000 * mbit, rtt: 100 * ms, every: x.every, buffer: 1 << 28}
			f := b.add(0, factory(t, x.name))
			b.run(20 * time.Second)
			b.measure()
			const long = 100 * time.Second
			b.run(long)
			got := float64(f.measured) / testMSS * b.rtt.Seconds() / long.Seconds()
			p := 1 / float64(x.every)
			want := math.Sqrt(1.5 / p)
			if x.name == "cubic" {
				want = max(want, math.Pow(0.4*3.7/(4*0.3), 0.25)*math.Pow(b.rtt.Seconds()/p, 0.75))
			}
			t.Logf("%.1f segments, theory %.1f", got, want)
			if got < 0.8*want || got > 1.2*want {
				t.Errorf("%.1f segments a round trip, theory says %.1f", got, want)
			}
		})
	}
	t.Run("bbr does not mind a loss in 100", func(t *testing.T) {
		b := &bottleneck{rate: 20 * mbit, rtt: 40 * ms, loss: 0.01, buffer: 200_000}
		b.add(0, factory(t, "bbr"))
		b.run(60 * time.Second)
		if u := b.utilisation(); u < 0.8 { // Mathis: 0.18
			t.Errorf("%.3f of the rate is used", u)
		}
	})
}

// TestBottleneckFair is two flows, of which one comes three seconds later.
func TestBottleneckFair(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, x := range []struct {
		one, other string
		buffer     float64
		jain, used float64
	}{
		{"reno", "reno", 1, 0.97, 0.98},
		{"cubic", "cubic", 0.5, 0.97, 0.97},
		{"cubic", "cubic", 4, 0.97, 0.98},
		{"dctcp", "dctcp", 1, 0.97, 0.98},
		{"bbr", "bbr", 0.5, 0.97, 0.95},
		{"bbr", "bbr", 4, 0.97, 0.95},
		{"cubic", "reno", 1, 0.95, 0.97}, // the Reno-friendly region (RFC 9438 section 4.3)
		{"bbr", "cubic", 1, 0.7, 0.95},
	} {
		t.Run(fmt.Sprintf("%s and %s, buffer %.1f", x.one, x.other, x.buffer), func(t *testing.T) {
			b := &bottleneck{rate: 20 * mbit, rtt: 30 * ms, coalesce: 2}
			b.buffer = int(x.buffer * float64(b.bdp()))
			if x.one == "dctcp" {
				b.mark = b.bdp() / 3
			}
			f := b.add(0, factory(t, x.one))
			g := b.add(3*time.Second, factory(t, x.other))
			b.run(30 * time.Second)
			b.measure()
			b.run(60 * time.Second)
			t.Logf("Jain %.3f (1 is even), used %.3f, queue %v", jain(f, g), b.utilisation(), b.queueDelay())
			if j := jain(f, g); j < x.jain {
				t.Errorf("Jain's index is %.3f, want %.3f", j, x.jain)
			}
			if u := b.utilisation(); u < x.used {
				t.Errorf("%.3f of the rate is used", u)
			}
		})
	}
}

// TestBottleneckBurst loses all segments of 20 ms, and looks how long the
// window is away. CUBIC should be back after K (RFC 9438 section 4.2), Reno
// after half of the window in round trips. BBR's rate is hardly to suffer.
func TestBottleneckBurst(t *testing.T) {
	for _, x := range []struct {
		name string
		want func(w float64) time.Duration
	}{
		{"reno", func(w float64) time.Duration { return time.Duration(w / 2 * 0.1 * 1e9) }},
		{"cubic", func(w float64) time.Duration { return time.Duration(math.Cbrt(w*0.3/0.4) * 1e9) }},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := &bottleneck{rate: 1000 * mbit, rtt: 100 * ms, buffer: 1 << 24}
			f := b.add(0, func(p Params) Controller {
				p.Window = segments(200)
				c := factory(t, x.name)(p)
				switch c := c.(type) {
				case *Reno:
					c.Ssthresh = p.Window
				case *Cubic:
					c.Ssthresh = p.Window
				}
				return c
			})
			b.run(time.Second)
			w := float64(f.cc.Window())
			b.loss = 1
			b.run(20 * ms)
			b.loss = 0
			lost := b.now
			for f.recoveries+f.timeouts == 0 {
				b.run(10 * ms)
			}
			b.run(time.Second)
			for float64(f.cc.Window()) < 0.95*w && b.now.Sub(lost) < 2*time.Minute {
				b.run(10 * ms)
			}
			got, want := b.now.Sub(lost), x.want(w/testMSS)
			t.Logf("a window of %.0f segments was away for %v, theory %v", w/testMSS, got, want)
			if got > want*13/10+time.Second || f.timeouts > 1 {
				t.Errorf("a window of %.0f segments was away for %v, want %v; %d timeouts", w/testMSS, got, want, f.timeouts)
			}
		})
	}
	t.Run("bbr", func(t *testing.T) {
		b := &bottleneck{rate: 20 * mbit, rtt: 100 * ms, buffer: 500_000}
		f := b.add(0, factory(t, "bbr"))
		b.run(8 * time.Second)
		b.loss = 1
		b.run(20 * ms)
		b.loss = 0
		b.measure()
		b.run(10 * time.Second)
		if u := b.utilisation(); u < 0.9 || f.timeouts > 0 {
			t.Errorf("%.3f of the rate is used in the ten seconds after; %d timeouts", u, f.timeouts)
		}
	})
}

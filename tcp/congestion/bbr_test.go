package congestion

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

func (p phase) String() string {
	return [...]string{"Startup", "Drain", "DOWN", "CRUISE", "REFILL", "UP", "ProbeRTT"}[p]
}

// A bbrRun is one flow of BBR at a bottleneck, and the phases that it went
// through.
type bbrRun struct {
	*BBR
	net     *bottleneck
	flow    *testFlow
	phases  []phase
	entered map[phase]time.Time
}

// runBBR starts a flow. Buffer is in bandwidth-delay products.
func runBBR(rate float64, rtt time.Duration, buffer float64) *bbrRun {
	n := &bottleneck{rate: rate, rtt: rtt, coalesce: 2}
	n.buffer = max(int(buffer*float64(n.bdp())), 4*testMSS)
	r := &bbrRun{net: n, entered: map[phase]time.Time{}}
	r.flow = n.add(0, func(p Params) Controller { r.BBR = NewBBR(p); return r.BBR })
	r.flow.watch = func() {
		if len(r.phases) == 0 || r.phases[len(r.phases)-1] != r.phase {
			r.phases = append(r.phases, r.phase)
			r.entered[r.phase] = n.now
		}
	}
	return r
}

// until runs until the phase is p, for ten seconds at most.
func (r *bbrRun) until(t *testing.T, p phase) {
	t.Helper()
	for range 10_000 {
		if r.net.run(ms); r.BBR != nil && r.phase == p {
			return
		}
	}
	t.Fatalf("never in %v, but in %v", p, r.phases)
}

func (r *bbrRun) near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*want {
		t.Errorf("%s is %.4g, want %.4g", what, got, want)
	}
}

func TestBBRStartup(t *testing.T) {
	t.Run("BBR-5.6.2: pacing begins with the initial window", func(t *testing.T) {
		b := NewBBR(Params{MSS: testMSS, Window: 10 * testMSS})
		if got, want := b.PacingRate(), 2.77*10*testMSS/0.001; math.Abs(got-want) > 1 {
			t.Errorf("%.0f bytes a second, want %.0f", got, want)
		}
		b.Acked(Ack{SRTT: 100 * ms, RTT: 100 * ms})
		if got, want := b.PacingRate(), 2.77*10*testMSS/0.1; math.Abs(got-want) > 1 {
			t.Errorf("%.0f bytes a second, want %.0f", got, want)
		}
	})
	t.Run("BBR-5.3.1.2: it ends when the bandwidth grows no more", func(t *testing.T) {
		r := runBBR(50*mbit, 40*ms, 8)
		r.until(t, drain)
		r.near(t, "max_bw", r.maxBandwidth.max(), 50*mbit, 0.02)
		if !r.full.reached || !r.full.now || r.full.rounds != 3 || r.net.dropped > 0 {
			t.Errorf("%+v, %d dropped", r.full, r.net.dropped)
		}
		if at := r.net.now.Sub(r.net.from); at > 20*40*ms {
			t.Errorf("Startup took %v", at)
		}
		t.Run("BBR-5.3.2: Drain ends when the queue is gone", func(t *testing.T) {
			r.until(t, probeCruise)
			if r.flow.inFlight > r.inFlight(r.maxBandwidth.max(), 1) {
				t.Errorf("%d in flight", r.flow.inFlight)
			}
			if took := r.entered[probeDown].Sub(r.entered[drain]); took > 4*r.flow.srtt {
				t.Errorf("Drain took %v", took)
			}
		})
	})
	t.Run("BBR-5.3.1.3: it ends when too much is lost", func(t *testing.T) {
		r := runBBR(50*mbit, 40*ms, 0.1)
		r.net.coalesce = 1
		r.until(t, drain)
		if r.full.now || r.bounds.long >= Unlimited {
			t.Errorf("not by loss: %+v, %+v", r.full, r.bounds)
		}
	})
	t.Run("BBR-3.7: it ends when two round trips are marked", func(t *testing.T) {
		r := runBBR(50*mbit, 40*ms, 8)
		r.net.mark = r.net.bdp() / 10
		r.until(t, drain)
		if r.full.now || r.net.dropped > 0 || r.net.longest > 100*ms {
			t.Errorf("%+v, dropped %d, waited %v", r.full, r.net.dropped, r.net.longest)
		}
	})
	t.Run("BBR-5.5.4: an application that sends little does not end it", func(t *testing.T) {
		r := runBBR(50*mbit, 40*ms, 1)
		r.flow.bounded, r.flow.budget = true, 2
		for range 300 {
			r.net.run(10 * ms)
			r.flow.give(2, 0)
		}
		if r.phase != startup || r.flow.timeouts > 0 {
			t.Errorf("%v", r.phases)
		}
	})
}

func TestBBRCycle(t *testing.T) {
	r := runBBR(50*mbit, 40*ms, 4)
	r.until(t, probeCruise)
	r.phases = r.phases[:0]
	r.net.measure()
	r.net.run(30 * time.Second)
	t.Run("BBR-5.3.3: the order of the phases", func(t *testing.T) {
		after := map[phase][]phase{
			probeDown: {probeCruise, probeRefill, probeRTT}, probeCruise: {probeRefill, probeRTT},
			probeRefill: {probeUp, probeRTT}, probeUp: {probeDown, probeRTT}, probeRTT: {probeCruise, probeDown},
		}
		count := map[phase]int{}
		for i, p := range r.phases {
			if i > 0 && !slices.Contains(after[r.phases[i-1]], p) {
				t.Errorf("%v after %v", p, r.phases[i-1])
			}
			count[p]++
		}
		if count[probeUp] < 6 || count[probeUp] > 15 { // two to three seconds after DOWN, which ProbeRTT begins anew
			t.Errorf("%d probes in 30 s", count[probeUp])
		}
		if count[probeRTT] < 4 || count[probeRTT] > 6 {
			t.Errorf("%d times in ProbeRTT in 30 s", count[probeRTT])
		}
	})
	t.Run("BBR-5.6.1: the rate is used, and there is next to no queue", func(t *testing.T) {
		if u := r.net.utilisation(); u < 0.95 {
			t.Errorf("%.3f of the rate is used", u)
		}
		if d := r.net.queueDelay(); d > 8*ms { // UP adds a quarter of the product for a while
			t.Errorf("segments wait for %v", d)
		}
		if r.net.dropped > 0 {
			t.Errorf("%d dropped", r.net.dropped)
		}
	})
	t.Run("BBR-5.5.7: the least round-trip time", func(t *testing.T) {
		if got := r.rtt.least; got < 40*ms || got > 42*ms {
			t.Errorf("%v", got)
		}
	})
}

func TestBBRProbeRTT(t *testing.T) {
	r := runBBR(50*mbit, 40*ms, 4)
	r.until(t, probeCruise)
	r.until(t, probeRTT)
	before := r.priorCwnd
	r.net.run(150 * ms)
	t.Run("BBR-5.6.4.5: half of the product is in flight", func(t *testing.T) {
		if r.phase != probeRTT || r.Window() > r.net.bdp()*6/10 || r.flow.inFlight > r.Window() {
			t.Errorf("%v: window %d, in flight %d, product %d", r.phase, r.Window(), r.flow.inFlight, r.net.bdp())
		}
	})
	t.Run("BBR-5.3.4.4: it goes on with CRUISE, and the window returns", func(t *testing.T) {
		r.until(t, probeCruise)
		if took := r.net.now.Sub(r.entered[probeRTT]); took < 200*ms || took > 500*ms {
			t.Errorf("it took %v", took)
		}
		r.near(t, "the window", float64(r.Window()), float64(before), 0.2)
		r.near(t, "max_bw", r.maxBandwidth.max(), 50*mbit, 0.05)
	})
	t.Run("BBR-5.4.1: an idle time takes its place", func(t *testing.T) {
		r.until(t, probeCruise)
		r.flow.bounded, r.flow.budget = true, 0
		r.net.run(6 * time.Second)
		if r.flow.inFlight > 0 {
			t.Fatalf("%d in flight", r.flow.inFlight)
		}
		r.phases = r.phases[:0]
		window := r.Window()
		r.flow.give(1_000_000, 6*time.Second)
		if !r.idleRestart || r.Window() != window {
			t.Errorf("idle restart %v, window %d after %d", r.idleRestart, r.Window(), window)
		}
		r.near(t, "the pacing rate", r.PacingRate(), 0.99*50*mbit, 0.05)
		r.net.run(time.Second)
		if slices.Contains(r.phases, probeRTT) {
			t.Errorf("%v", r.phases)
		}
	})
	t.Run("BBR-5.3.4.4: in Startup it returns there", func(t *testing.T) {
		r := runBBR(50*mbit, 40*ms, 4)
		r.flow.bounded, r.flow.budget = true, 3
		for range 600 {
			r.net.run(10 * ms)
			r.flow.give(3, 0)
		}
		r.phases = append(r.phases, r.phase)
		if got := fmt.Sprint(r.phases[:min(3, len(r.phases))]); got != "[Startup ProbeRTT Startup]" {
			t.Errorf("%v", got)
		}
	})
}

func TestBBRPaths(t *testing.T) {
	t.Run("BBR-5.5.9: the window has room for aggregation", func(t *testing.T) {
		r := runBBR(50*mbit, 40*ms, 4)
		r.net.coalesce = 44
		r.until(t, probeCruise)
		if r.Window() <= 2*r.net.bdp() || r.extraAcked() < segments(30) {
			t.Errorf("window %d, product %d, extra_acked %d", r.Window(), r.net.bdp(), r.extraAcked())
		}
		r.net.measure()
		r.net.run(4 * time.Second)
		if u := r.net.utilisation(); u < 0.95 {
			t.Errorf("%.3f of the rate is used", u)
		}
	})
	t.Run("BBR-5.6.4.3: less than a segment on the path", func(t *testing.T) {
		r := runBBR(0.1*mbit, 10*ms, 200)
		r.net.run(20 * time.Second)
		r.net.measure()
		r.net.run(10 * time.Second)
		if w := r.Window(); w < 4*testMSS || w > 12*testMSS {
			t.Errorf("window %d", w)
		}
		if u := r.net.utilisation(); u < 0.9 {
			t.Errorf("%.3f of the rate is used", u)
		}
	})
	t.Run("BBR-5.3.3.5: ten times the bandwidth is found", func(t *testing.T) {
		r := runBBR(10*mbit, 40*ms, 4)
		r.net.run(8 * time.Second)
		r.net.rate, r.net.buffer = 100*mbit, 10*r.net.buffer
		changed := r.net.now
		for r.maxBandwidth.max() < 90*mbit && r.net.now.Sub(changed) < time.Minute {
			r.net.run(10 * ms)
		}
		if took := r.net.now.Sub(changed); took > 10*time.Second {
			t.Errorf("after %v", took)
		}
	})
	t.Run("BBR-5.5.3: a tenth of the bandwidth is learnt in two cycles", func(t *testing.T) {
		r := runBBR(100*mbit, 40*ms, 1)
		r.net.run(8 * time.Second)
		r.net.rate, r.net.buffer = 10*mbit, r.net.buffer/10
		changed := r.net.now
		for r.maxBandwidth.max() > 11*mbit && r.net.now.Sub(changed) < time.Minute {
			r.net.run(10 * ms)
		}
		if took := r.net.now.Sub(changed); took > 15*time.Second {
			t.Errorf("after %v", took)
		}
		if r.bandwidth > 11*mbit {
			t.Errorf("bw %.3g", r.bandwidth)
		}
	})
}

// inUp is BBR in ProbeBW_UP, with an inflight_longterm.
func inUp(t *testing.T) *bbrRun {
	t.Helper()
	r := runBBR(50*mbit, 40*ms, 4)
	r.until(t, probeUp)
	r.bounds.long = 2 * r.net.bdp()
	return r
}

// lossy is an acknowledgement by which n of the bytes in flight were lost.
func (r *bbrRun) lossy(n, flight int) Ack {
	return Ack{
		Now: r.net.now, Delivered: testMSS, Acked: testMSS, Lost: n, InFlight: flight, Recovering: true,
		Rate: Rate{Delivered: testMSS, Interval: 40 * ms, TotalDelivered: r.round.delivered + testMSS,
			PriorDelivered: r.round.delivered, PriorInFlight: flight, Lost: n},
	}
}

func TestBBRLoss(t *testing.T) {
	t.Run("BBR-5.5.10.2: a probe that loses too much ends", func(t *testing.T) {
		r := inUp(t)
		flight := 3 * r.net.bdp() / 2
		r.Lost(Loss{Now: r.net.now, Flight: flight, Lost: flight / 10})
		r.Acked(r.lossy(flight/10, flight))
		if r.phase != probeDown || !r.probe.tooHigh {
			t.Errorf("%v, %+v", r.phase, r.probe)
		}
		// A tenth was lost; up to where it was two hundredths is safe.
		r.near(t, "inflight_longterm", float64(r.bounds.long), 0.9*float64(flight)/0.98, 0.05)
		t.Run("BBR-5.5.11.2: and goes on when nothing was lost", func(t *testing.T) {
			r.Undo(r.net.now)
			if r.phase != probeRefill || r.bounds.long != 2*r.net.bdp() {
				t.Errorf("%v, %+v", r.phase, r.bounds)
			}
		})
	})
	t.Run("BBR-5.5.10.2: one that loses little does not", func(t *testing.T) {
		r := inUp(t)
		r.Acked(r.lossy(r.net.bdp()/100, r.net.bdp()))
		if r.phase != probeUp {
			t.Errorf("%v", r.phase)
		}
	})
	t.Run("BBR-3.7: a mark is as a loss", func(t *testing.T) {
		r := inUp(t)
		r.Marked(Loss{Now: r.net.now, Flight: r.net.bdp()})
		if r.phase != probeDown || r.bounds.long != r.net.bdp() {
			t.Errorf("%v, %+v", r.phase, r.bounds)
		}
	})
	t.Run("BBR-5.5.10.3: otherwise 0.7, once a round trip", func(t *testing.T) {
		r := runBBR(50*mbit, 40*ms, 4)
		r.until(t, probeCruise)
		bandwidth, window := r.bandwidth, r.Window()
		r.latest = delivery{}
		r.Lost(Loss{Now: r.net.now, Flight: r.net.bdp(), Lost: testMSS})
		a := r.lossy(testMSS, r.net.bdp())
		a.Rate.PriorDelivered-- // of the same round
		r.Acked(a)
		if r.bandwidth != bandwidth {
			t.Error("before the round trip has ended")
		}
		a = r.lossy(0, r.net.bdp())
		a.Rate.Delivered = 0
		r.latest = delivery{}
		r.Acked(a)
		r.near(t, "bw", r.bandwidth, 0.7*bandwidth, 0.01)
		r.near(t, "the window", float64(r.bounds.inFlight), 0.7*float64(window), 0.01)
		t.Run("BBR-5.5.11.2: undo", func(t *testing.T) {
			r.Undo(r.net.now)
			r.Acked(r.lossy(0, r.net.bdp()))
			r.near(t, "bw", r.bandwidth, bandwidth, 0.01)
		})
	})
	t.Run("BBR-5.6.4.4: a timeout leaves a segment, the recovery ends with the old window", func(t *testing.T) {
		r := runBBR(50*mbit, 40*ms, 4)
		r.until(t, probeCruise)
		window := r.Window()
		r.TimedOut(Loss{Now: r.net.now, Flight: r.net.bdp()})
		if r.Window() != testMSS {
			t.Errorf("window %d", r.Window())
		}
		r.Recovered(r.net.now)
		if r.Window() != window {
			t.Errorf("window %d, want %d", r.Window(), window)
		}
	})
	t.Run("BBR-5.6.4.4: a SYN that was lost is nothing to recover from", func(t *testing.T) {
		b := NewBBR(at(10))
		b.TimedOut(Loss{Again: true})
		if b.Window() != testMSS || b.recovering || b.losses.found {
			t.Errorf("window %d, recovering %v", b.Window(), b.recovering)
		}
	})
	t.Run("BBR-5.5.11.2: a timeout in Startup that was none", func(t *testing.T) {
		r := runBBR(50*mbit, 40*ms, 4)
		r.net.run(100 * ms)
		window := r.Window()
		r.TimedOut(Loss{Now: r.net.now, Flight: window})
		r.Undo(r.net.now)
		if r.phase != startup || r.Window() != window {
			t.Errorf("%v, window %d, want %d", r.phase, r.Window(), window)
		}
	})
}

func TestAggregationFilter(t *testing.T) {
	var g aggregation
	now := time.Unix(1000, 0)
	g.update(now, 50_000, 1e6, 1<<20, 3)
	if got := g.max(1); got != 50_000 {
		t.Errorf("%d", got)
	}
	g.update(now.Add(10*ms), 50_000, 1e6, 1<<20, 3) // 10,000 were expected by then
	if got := g.max(1); got != 90_000 {
		t.Errorf("%d", got)
	}
	g.update(now.Add(time.Second), 1000, 1e6, 1<<20, 5)
	if g.max(1) != 1000 || g.max(10) != 90_000 {
		t.Errorf("BBR-5.5.9: %d, %d", g.max(1), g.max(10))
	}
	g.forget(13)
	if g.max(10) != 1000 {
		t.Errorf("BBR-5.5.9: %d is remembered for more than ten rounds", g.max(10))
	}
	g.forget(1_000_000)
	if g.max(10) != 0 {
		t.Errorf("%d", g.max(10))
	}
}

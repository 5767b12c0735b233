package link

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// numbered is a frame of n bytes that carries a number.
func numbered(i, n int) *packet.Buffer {
	b := packet.Get(n)
	clear(b.Extend(n))
	binary.BigEndian.PutUint32(b.Bytes(), uint32(i))
	return b
}

func numberOf(b *packet.Buffer) int { return int(binary.BigEndian.Uint32(b.Bytes())) }

// departure is a frame that has left the machine.
type departure struct {
	number int
	at     time.Duration
}

// runOut lets the machine run till it is empty.
func runOut(m *impairer) (all []departure) {
	for {
		at, ok := m.deadline()
		if !ok {
			return all
		}
		if b := m.due(at); b != nil { // otherwise a frame has only left the queue
			all = append(all, departure{numberOf(b), at})
			b.Release()
		}
	}
}

// burst gives the machine n frames of size bytes, the next each gap.
func burst(c Impairment, n, size int, gap time.Duration) ([]departure, *Stats) {
	stats := new(Stats)
	m := newImpairer(c, 0, ethernetLen, stats)
	for i := range n {
		m.add(time.Duration(i)*gap, numbered(i, size))
	}
	return runOut(m), stats
}

func TestImpairerTimes(t *testing.T) {
	const ms, us = time.Millisecond, time.Microsecond
	for _, c := range []struct {
		name    string
		c       Impairment
		n, size int
		gap     time.Duration
		want    []time.Duration // by number; -1: dropped
	}{
		{"nothing", Impairment{}, 3, 100, ms, []time.Duration{0, ms, 2 * ms}},
		{"nothing, at one instant", Impairment{}, 3, 100, 0, []time.Duration{0, 1, 2}},
		{"delay", Impairment{Delay: 5 * ms}, 3, 100, ms, []time.Duration{5 * ms, 6 * ms, 7 * ms}},
		{"negative delay", Impairment{Delay: -5 * ms}, 2, 100, ms, []time.Duration{0, ms}},
		{"rate", Impairment{Rate: 8e6}, 3, 100, 0, []time.Duration{100 * us, 200 * us, 300 * us}},
		{"rate, idle between", Impairment{Rate: 8e6}, 3, 100, ms, []time.Duration{100 * us, ms + 100*us, 2*ms + 100*us}},
		{"rate and delay", Impairment{Rate: 8e6, Delay: ms}, 2, 100, 0, []time.Duration{ms + 100*us, ms + 200*us}},
		{"no rounding adds up", Impairment{Rate: 12e9}, 6, 4, 0, []time.Duration{2, 5, 8, 10, 13, 16}},
		{"queue of one", Impairment{Rate: 8e6, Queue: 1}, 4, 100, 0, []time.Duration{100 * us, 200 * us, -1, -1}},
		{"no queue", Impairment{Rate: 8e6, Queue: -1}, 3, 100, 60 * us, []time.Duration{100 * us, -1, 220 * us}},
		{"queue that empties", Impairment{Rate: 8e6, Queue: 1}, 5, 100, 50 * us, []time.Duration{100 * us, 200 * us, 300 * us, -1, 400 * us}},
		{"the delay line is no queue", Impairment{Rate: 8e6, Queue: 1, Delay: time.Second}, 3, 100, 100 * us, []time.Duration{time.Second + 100*us, time.Second + 200*us, time.Second + 300*us}},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, stats := burst(c.c, c.n, c.size, c.gap)
			times := slices.Repeat([]time.Duration{-1}, c.n)
			for _, d := range all {
				times[d.number] = d.at
			}
			if !slices.Equal(times, c.want) {
				t.Errorf("left at %v, want %v", times, c.want)
			}
			if n := int(stats.DropQueueFull.Load()); n != c.n-len(all) {
				t.Errorf("DropQueueFull = %d with %d dropped", n, c.n-len(all))
			}
		})
	}
}

func TestImpairerNotBeforeDue(t *testing.T) {
	m := newImpairer(Impairment{Delay: 10}, 0, ethernetLen, new(Stats))
	if at, ok := m.deadline(); ok {
		t.Errorf("an empty machine has the deadline %v", at)
	}
	m.add(0, numbered(1, 60))
	if b := m.due(9); b != nil {
		t.Error("due too early")
	}
	b := m.due(10)
	if b == nil {
		t.Fatal("not due")
	}
	b.Release()
}

func TestImpairerDefaults(t *testing.T) {
	m := newImpairer(Impairment{Rate: 1}, 0, ethernetLen, new(Stats))
	if m.line.frames != DefaultQueue || m.cfg.ReorderDelay != DefaultReorderDelay {
		t.Errorf("queue %d, reorder delay %v", m.line.frames, m.cfg.ReorderDelay)
	}
}

// TestImpairerStatistics compares how often a thing happens with how often it
// should, at five standard deviations.
func TestImpairerStatistics(t *testing.T) {
	for _, c := range []struct {
		p float64
		n int
	}{{0, 1000}, {0.01, 20000}, {0.3, 5000}, {1, 1000}} {
		about := func(t *testing.T, what string, count int) {
			t.Helper()
			want, tolerance := float64(c.n)*c.p, 5*math.Sqrt(float64(c.n)*c.p*(1-c.p))
			if math.Abs(float64(count)-want) > tolerance {
				t.Errorf("%s: %d of %d, want %v ± %v", what, count, c.n, want, tolerance)
			}
		}
		t.Run(fmt.Sprint("loss ", c.p), func(t *testing.T) {
			all, stats := burst(Impairment{Loss: c.p, Seed: 42}, c.n, 60, time.Microsecond)
			about(t, "counted", int(stats.DropImpaired.Load()))
			about(t, "missing", c.n-len(all))
		})
		t.Run(fmt.Sprint("duplication ", c.p), func(t *testing.T) {
			all, stats := burst(Impairment{Duplicate: c.p, Seed: 42}, c.n, 60, time.Microsecond)
			about(t, "counted", int(stats.Duplicated.Load()))
			about(t, "too many", len(all)-c.n)
		})
		t.Run(fmt.Sprint("reordering ", c.p), func(t *testing.T) {
			all, stats := burst(Impairment{Reorder: c.p, ReorderDelay: time.Second, Seed: 42}, c.n, 60, time.Microsecond)
			about(t, "counted", int(stats.Reordered.Load()))
			late := slices.DeleteFunc(all, func(d departure) bool { return d.at < time.Second })
			about(t, "late", len(late))
		})
	}
}

// everything is an impairment of each kind.
var everything = Impairment{
	Rate: 1e9, Queue: 300, Delay: time.Millisecond, Jitter: 300 * time.Microsecond,
	Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Corrupt: 0.1, Seed: 1,
}

func TestImpairerRepeats(t *testing.T) {
	run := func(seed, stream uint64) []departure {
		c := everything
		c.Seed = seed
		m := newImpairer(c, stream, ethernetLen, new(Stats))
		for i := range 1000 {
			m.add(time.Duration(i)*300, numbered(i, 60))
		}
		return runOut(m)
	}
	if !slices.Equal(run(1, 0), run(1, 0)) {
		t.Error("the same seed gives another run")
	}
	if slices.Equal(run(1, 0), run(2, 0)) {
		t.Error("another seed gives the same run")
	}
	if slices.Equal(run(1, 0), run(1, 1)) {
		t.Error("both directions have the same run")
	}
}

func TestImpairerDistinctInstants(t *testing.T) {
	for _, gap := range []time.Duration{0, 1, time.Microsecond} {
		all, _ := burst(everything, 2000, 60, gap)
		if len(all) < 300 {
			t.Fatalf("only %d frames", len(all))
		}
		for i := range all[1:] {
			if all[i+1].at <= all[i].at {
				t.Fatalf("gap %v: frame %d leaves at %v, the one before at %v", gap, i+1, all[i+1].at, all[i].at)
			}
		}
	}
}

func inversions(all []departure) (n int) {
	for i := range all[1:] {
		if all[i+1].number < all[i].number {
			n++
		}
	}
	return n
}

func TestImpairerOrder(t *testing.T) {
	c := everything
	c.Reorder = 0
	if all, _ := burst(c, 5000, 60, time.Microsecond); inversions(all) != 0 {
		t.Errorf("%d frames overtaken without Reorder", inversions(all))
	}
	if all, _ := burst(Impairment{Reorder: 0.1}, 5000, 60, time.Microsecond); inversions(all) < 200 {
		t.Errorf("%d frames overtaken with Reorder 0.1", inversions(all))
	}
}

func TestImpairerReorderDelay(t *testing.T) {
	all, _ := burst(Impairment{Reorder: 1, ReorderDelay: 7 * time.Microsecond}, 1, 60, 0)
	if all[0].at != 7*time.Microsecond {
		t.Errorf("left at %v", all[0].at)
	}
}

func TestImpairerJitter(t *testing.T) {
	const delay, jitter = 1000, 100
	all, _ := burst(Impairment{Delay: delay, Jitter: jitter}, 5000, 60, time.Microsecond)
	low, high, sum := time.Duration(math.MaxInt64), time.Duration(0), time.Duration(0)
	for i, d := range all {
		late := d.at - time.Duration(i)*time.Microsecond
		low, high, sum = min(low, late), max(high, late), sum+late
	}
	if low != delay-jitter || high != delay+jitter {
		t.Errorf("delays from %d to %d", low, high)
	}
	if mean := sum / 5000; mean < delay-5 || mean > delay+5 {
		t.Errorf("mean delay %d", mean)
	}
}

func TestImpairerDuplicate(t *testing.T) {
	all, _ := burst(Impairment{Duplicate: 1}, 3, 60, time.Millisecond)
	want := []departure{{0, 0}, {0, 1}, {1, 1e6}, {1, 1e6 + 1}, {2, 2e6}, {2, 2e6 + 1}}
	if !slices.Equal(all, want) {
		t.Errorf("got %v, want %v", all, want)
	}
}

// TestImpairerCorrupt flips bits until each bit of the datagram has been
// flipped: a checksum tells each time, and the rest of the frame stays.
func TestImpairerCorrupt(t *testing.T) {
	m := newImpairer(Impairment{Corrupt: 1}, 0, ethernetLen, new(Stats))
	padded := append(tcpFrame(t, 1, 5), 1, 2, 3)
	seen := map[int]bool{}
	datagram := len(padded) - 3 - ethernetLen
	for range 40 * datagram * 8 {
		m.add(0, packet.From(padded))
		b := m.flight.pop()
		flipped := 0
		for i, c := range b.Bytes() {
			for bit := range 8 {
				if (c^padded[i])>>bit&1 == 1 {
					flipped++
					seen[i*8+bit] = true
				}
			}
		}
		if flipped != 1 {
			t.Fatalf("%d bits flipped", flipped)
		}
		if sumsToZero(b.Bytes()) {
			t.Fatalf("nobody can tell that %x is corrupt", b.Bytes())
		}
		b.Release()
	}
	for i := range len(padded) * 8 {
		inside := i/8 >= ethernetLen && i/8 < ethernetLen+datagram
		if seen[i] != inside {
			t.Errorf("bit %d of byte %d: flipped %v", i%8, i/8, seen[i])
		}
	}
}

func TestImpairerCorruptSparesOthers(t *testing.T) {
	short := tcpFrame(t, 1, 5)
	short[16], short[17] = 0, 19
	for name, frame := range map[string][]byte{
		"ARP":       append(make([]byte, 12), 8, 6, 0, 1),
		"runt":      {1, 2, 3},
		"empty":     {},
		"IP length": short,
	} {
		stats := new(Stats)
		m := newImpairer(Impairment{Corrupt: 1}, 0, ethernetLen, stats)
		m.add(0, packet.From(frame))
		b := m.flight.pop()
		if !slices.Equal(b.Bytes(), frame) || stats.Corrupted.Load() != 0 {
			t.Errorf("%s: %x has become %x", name, frame, b.Bytes())
		}
		b.Release()
	}
}

func TestImpairerBounded(t *testing.T) {
	stats := new(Stats)
	m := newImpairer(Impairment{Delay: time.Hour}, 0, ethernetLen, stats)
	for i := range maxFlight + 10 {
		m.add(time.Duration(i), numbered(i, 60))
	}
	if n := len(runOut(m)); n != maxFlight || stats.DropQueueFull.Load() != 10 {
		t.Errorf("%d frames delayed, DropQueueFull = %d", n, stats.DropQueueFull.Load())
	}
}

func TestImpairerNoAllocation(t *testing.T) {
	if packet.Checked {
		t.Skip("the pools allocate under the race detector")
	}
	c := everything
	c.Loss, c.Duplicate = 0, 0
	m := newImpairer(c, 0, ethernetLen, new(Stats))
	b, now := packet.From(tcpFrame(t, 1, 100)), time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() {
		m.add(now, b)
		now, _ = m.deadline()
		b = m.due(now)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	b.Release()
}

func BenchmarkImpairer(b *testing.B) {
	m := newImpairer(Impairment{Rate: 1e10, Delay: time.Millisecond, Loss: 0.01}, 0, ethernetLen, new(Stats))
	now := time.Duration(0)
	p := numbered(0, 1514)
	b.ReportAllocs()
	for b.Loop() {
		now += 1200
		m.add(now, p.Clone())
		if f := m.due(now); f != nil {
			f.Release()
		}
	}
}

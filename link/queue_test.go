package link

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

const ms = time.Millisecond

// TestQueueBytes bounds the queue by its bytes: of frames of 100 bytes, one is
// on the line and two wait.
func TestQueueBytes(t *testing.T) {
	q := new(Queueing)
	all, stats := burst(Impairment{Rate: 8e5, QueueBytes: 250, Queueing: q}, 6, 100, 0)
	if len(all) != 3 || stats.DropQueueFull.Load() != 3 || q.Drops.Load() != 3 {
		t.Errorf("%d frames, DropQueueFull = %d, Drops = %d", len(all), stats.DropQueueFull.Load(), q.Drops.Load())
	}
	if q.Frames.Load() != 3 || q.Bytes.Load() != 300 || q.Mean() != ms || q.Max() != 2*ms || q.Quantile(1) != 2*ms {
		t.Errorf("%d frames with %d bytes, mean delay %v, at most %v", q.Frames.Load(), q.Bytes.Load(), q.Mean(), q.Max())
	}
	if all, _ := burst(Impairment{Rate: 8e5, QueueBytes: 10}, 2, 100, 0); len(all) != 1 {
		t.Errorf("a queue that holds no frame: %d left", len(all))
	}
}

// TestQueueing compares quantiles with those of a sorted list.
func TestQueueing(t *testing.T) {
	q, random := new(Queueing), rand.New(rand.NewPCG(1, 2))
	if q.Quantile(0.5) != 0 || q.Mean() != 0 {
		t.Error("an empty queue has delays")
	}
	var all []time.Duration
	for range 10000 {
		d := time.Duration(math.Exp(random.Float64() * 25))
		all = append(all, d)
		q.add(d, 1)
	}
	slices.Sort(all)
	for _, p := range []float64{0.01, 0.25, 0.5, 0.95, 0.99, 1} {
		want, got := all[int(p*10000)-1], q.Quantile(p)
		if got < want || got > want+want/16 {
			t.Errorf("quantile %v is %d, want %d", p, got, want)
		}
	}
	for d := time.Duration(0); d < 5000; d++ {
		if i := bucket(d); upTo(i) < d || i > 0 && upTo(i-1) >= d {
			t.Fatalf("%d is counted up to %d", d, upTo(i))
		}
	}
	if i := bucket(math.MaxInt64); i >= delayBuckets {
		t.Errorf("bucket %d of %d", i, delayBuckets)
	}
}

// capable is a frame with the ECN field ecn.
func capable(t testing.TB, ecn byte) []byte {
	f := tcpFrame(t, 1, 20)
	f[15] = 0xb8 | ecn
	binary.BigEndian.PutUint16(f[24:], 0)
	sum := uint32(0)
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(f[24:], ^uint16(sum>>16+sum))
	return f
}

// TestMark: RFC3168-5, RFC1624-3: ECT(0), ECT(1) and CE become CE and the
// checksum stays right; what is not capable stays as it is.
func TestMark(t *testing.T) {
	for ecn := range byte(4) {
		f := capable(t, ecn)
		before := bytes.Clone(f)
		if ok := markCE(f, ethernetLen); ok != (ecn != 0) {
			t.Errorf("ECN field %d: marked %v", ecn, ok)
		}
		switch {
		case ecn == 0 && !bytes.Equal(f, before):
			t.Error("a frame that is not capable was changed")
		case ecn != 0 && f[15] != 0xbb:
			t.Errorf("ECN field %d: type of service %02x", ecn, f[15])
		}
		valid(t, f)
	}
	for _, f := range [][]byte{nil, make([]byte, 33), append(make([]byte, 12), 8, 6, 0x45, 1)} {
		if markCE(f, ethernetLen) {
			t.Errorf("marked %x", f)
		}
	}
	ipv6 := capable(t, 2)
	ipv6[14] = 0x65
	if markCE(ipv6, ethernetLen) {
		t.Error("marked what is not IPv4")
	}
}

// TestMarkChecksums tries each type of service and identification near the
// ends of the checksum's range.
func TestMarkChecksums(t *testing.T) {
	for id := range 0x10000 {
		f := capable(t, 2)
		binary.BigEndian.PutUint16(f[18:], uint16(id))
		old := binary.BigEndian.Uint16(f[24:])
		sum := uint32(^old) + uint32(^uint16(0xfffe)) + uint32(id) // the frame of serialize has 0xfffe
		sum = sum>>16 + sum&0xffff
		binary.BigEndian.PutUint16(f[24:], ^uint16(sum>>16+sum))
		if !markCE(f, ethernetLen) || !sumsToZero(f) {
			t.Fatalf("identification %04x: the checksum is wrong", id)
		}
	}
}

// TestStep: RFC8257-3.1: it marks from the threshold on, and drops nothing.
func TestStep(t *testing.T) {
	stats, q := new(Stats), new(Queueing)
	m := newImpairer(Impairment{Rate: 8e6, Manager: Step{Frames: 3}, Queueing: q}, 0, ethernetLen, stats)
	for i := range 7 {
		m.add(0, packet.From(capable(t, 2)))
		if i == 5 {
			m.add(0, packet.From(capable(t, 0)))
		}
	}
	var fields []byte
	for at, ok := m.deadline(); ok; at, ok = m.deadline() {
		if b := m.due(at); b != nil {
			fields = append(fields, b.Bytes()[15]&3)
			b.Release()
		}
	}
	// One is on the line, three wait, and the fifth is the first to find three.
	if want := []byte{2, 2, 2, 2, 3, 3, 0, 3}; !bytes.Equal(fields, want) {
		t.Errorf("ECN fields %v, want %v", fields, want)
	}
	if stats.Marked.Load() != 3 || q.Marks.Load() != 3 || q.Drops.Load() != 0 {
		t.Errorf("%d marked, %d dropped", stats.Marked.Load(), q.Drops.Load())
	}
}

// TestRedAverage: RFC2309-3: the average follows the queue by its weight, and
// decays while the queue is empty as if small frames had come to it.
func TestRedAverage(t *testing.T) {
	r := RED{Weight: 0.5}.manage(8e6, nil).(*red) // a small frame takes 1 ms
	q := new(backlog)
	r.arrives(0, q, 1000)
	if r.average != 0 {
		t.Errorf("average %v of an empty queue", r.average)
	}
	for range 4 {
		q.push(0, numbered(0, 60))
	}
	for _, want := range []float64{2, 3, 3.5} {
		if r.arrives(0, q, 60); r.average != want {
			t.Errorf("average %v, want %v", r.average, want)
		}
	}
	for q.len() > 0 {
		q.pop().b.Release()
	}
	r.emptied(10 * ms)
	for i, want := range []float64{3.5 / 8, 3.5 / 16, 3.5 / 32} { // also when each frame that comes is dropped
		if r.arrives(time.Duration(13+i)*ms, q, 60); r.average != want {
			t.Errorf("average %v after %d frames' time, want %v", r.average, 3+i, want)
		}
	}
}

// TestRedProbability: RFC2309-3: with the average halfway between the
// thresholds the gaps between drops are spread evenly below 1/p frames.
func TestRedProbability(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	r := RED{Min: 10, Max: 30, Probability: 0.1, Weight: 1}.manage(8e6, random).(*red)
	q := new(backlog)
	for range 20 {
		q.push(0, numbered(0, 60))
	}
	gaps, gap := map[int]int{}, 0
	const n = 200_000
	for range n {
		gap++
		if r.arrives(0, q, 60) == drop {
			gaps[gap]++
			gap = 0
		}
	}
	drops := 0
	for g, count := range gaps {
		drops += count
		if g >= 20 {
			t.Errorf("%d gaps of %d frames; p is 1/20", count, g)
		}
	}
	if mean := float64(n) / float64(drops); mean < 9.8 || mean > 10.2 {
		t.Errorf("a drop each %v frames, want 10", mean)
	}
	for g := 1; g < 20; g++ {
		if c := float64(gaps[g]) * 19 / float64(drops); c < 0.8 || c > 1.2 {
			t.Errorf("gaps of %d come %v times as often as they should", g, c)
		}
	}
	for q.len() > 20-11 {
		q.pop().b.Release()
	}
	if v := r.arrives(0, q, 60); v != pass || r.count != -1 {
		t.Errorf("below the lower threshold: %v", v)
	}
	for range 21 {
		q.push(0, numbered(0, 60))
	}
	r.cfg.ECN = true
	for range 10 {
		if v := r.arrives(0, q, 60); v != drop {
			t.Errorf("above the upper threshold: %v", v)
		}
	}
	for q.len() > 20 {
		q.pop().b.Release()
	}
	marks := 0
	for range 1000 {
		switch r.arrives(0, q, 60) {
		case mark:
			marks++
		case drop:
			t.Fatal("dropped what could be marked")
		}
	}
	if marks < 80 {
		t.Errorf("%d marks of 1000", marks)
	}
	for q.len() > 0 {
		q.pop().b.Release()
	}
}

func TestRedDefaults(t *testing.T) {
	r := RED{}.manage(1e6, nil).(*red)
	if r.cfg.Min != 5 || r.cfg.Max != 15 || r.cfg.Probability != 0.1 || r.cfg.Weight != 0.002 || r.typical != 8*ms {
		t.Errorf("%+v, %v", r.cfg, r.typical)
	}
}

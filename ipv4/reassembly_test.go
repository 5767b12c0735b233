package ipv4

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

func testReassembler() *reassembler {
	return newReassembler(30*time.Second, 1<<20, 16, seeded(), &Stats{})
}

// A piece is one fragment of a test.
type piece struct {
	offset, end int
	more        bool
}

// add gives pieces of pattern(4000) to r, and returns what came last.
func (r *reassembler) addAll(id uint16, pieces []piece) (whole *packet.Buffer) {
	data := pattern(4000)
	for _, p := range pieces {
		whole = r.add(epoch, fragmentOf(id, p.offset, p.more, data[p.offset:p.end]))
	}
	return whole
}

// RFC1122-3.2.1.4, RFC1122-3.3.2-1: fragments in any order make the datagram.
func TestReassembly(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces []piece
		length int // of the whole; 0 when nothing comes of it
		held   int // what is still held
		count  func(*Stats) uint64
		counts uint64
	}{
		{"in order", []piece{{0, 80, true}, {80, 160, true}, {160, 171, false}}, 171, 0, nil, 0},
		{"backwards", []piece{{160, 171, false}, {80, 160, true}, {0, 80, true}}, 171, 0, nil, 0},
		{"tiny", []piece{{0, 8, true}, {16, 17, false}, {8, 16, true}}, 17, 0, nil, 0},
		{"hole", []piece{{0, 80, true}, {160, 171, false}}, 0, 2, nil, 0},
		{"no end", []piece{{0, 80, true}, {80, 160, true}}, 0, 2, nil, 0},
		{"no start", []piece{{80, 160, true}, {160, 171, false}}, 0, 2, nil, 0},
		{"duplicate", []piece{{0, 80, true}, {0, 80, true}, {80, 160, false}}, 160, 0, func(s *Stats) uint64 { return s.DropDuplicate.Load() }, 1},
		{"overlap before", []piece{{0, 80, true}, {72, 160, true}, {160, 168, false}, {80, 160, true}}, 0, 0, dropOverlap, 4},
		{"overlap behind", []piece{{80, 160, true}, {0, 88, true}, {0, 80, true}}, 0, 0, dropOverlap, 3},
		{"overlap inside", []piece{{0, 160, true}, {80, 88, true}, {160, 168, false}}, 0, 0, dropOverlap, 3},
		{"overlap around", []piece{{80, 88, true}, {0, 160, true}, {160, 168, false}}, 0, 0, dropOverlap, 3},
		{"overlap of the same start", []piece{{0, 80, true}, {0, 88, true}}, 0, 0, dropOverlap, 2},
		{"two ends", []piece{{160, 168, false}, {240, 248, false}}, 0, 0, dropOverlap, 2},
		{"end that is not", []piece{{160, 168, false}, {168, 176, true}}, 0, 0, dropOverlap, 2},
		{"end before others", []piece{{240, 248, true}, {160, 168, false}}, 0, 0, dropOverlap, 2},
		{"no data", []piece{{80, 80, true}}, 0, 0, dropFragment, 1},
		{"not of 8 bytes", []piece{{80, 87, true}}, 0, 0, dropFragment, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			r := testReassembler()
			whole := r.addAll(1, c.pieces)
			if (whole != nil) != (c.length > 0) {
				t.Fatalf("whole: %v", whole)
			}
			if whole != nil {
				h, err := Parse(whole.Network())
				if err != nil || h.MF() || h.FragmentOffset() != 0 || len(h) != whole.Len() || !bytes.Equal(h.Payload(), pattern(c.length)) {
					t.Errorf("%v, %v", h, err)
				}
				whole.Release()
			}
			held := 0
			for _, a := range r.byAge {
				held += len(a.parts)
			}
			if held != c.held || (r.bytes > 0) != (held > 0) {
				t.Errorf("%d fragments of %d bytes are held, want %d", held, r.bytes, c.held)
			}
			if c.count != nil && c.count(r.stats) != c.counts {
				t.Errorf("%d are counted, want %d", c.count(r.stats), c.counts)
			}
			r.close()
			if r.bytes != 0 {
				t.Errorf("%d bytes are held after close", r.bytes)
			}
		})
	}
}

func dropOverlap(s *Stats) uint64  { return s.DropOverlap.Load() }
func dropFragment(s *Stats) uint64 { return s.DropFragment.Load() }

// A duplicate whose content differs is an overlap.
func TestReassemblyForgedDuplicate(t *testing.T) {
	noLeaks(t)
	r := testReassembler()
	r.add(epoch, fragmentOf(1, 0, true, pattern(80)))
	r.add(epoch, fragmentOf(1, 0, true, make([]byte, 80)))
	if n := dropOverlap(r.stats); n != 2 {
		t.Errorf("%d are dropped, want 2", n)
	}
}

// The datagram has the marks of its fragments, for ICMP and UDP look at them.
func TestReassemblyMarks(t *testing.T) {
	noLeaks(t)
	r := testReassembler()
	for i, now := range []time.Time{epoch, epoch.Add(time.Second)} {
		b := fragmentOf(1, 80*i, i == 0, pattern(80))
		b.Link, b.Group = 1, true
		if whole := r.add(now, b); whole != nil {
			if whole.Link != 1 || !whole.Group || !whole.Arrived.Equal(now) {
				t.Errorf("link %d, group %v, arrived %v", whole.Link, whole.Group, whole.Arrived)
			}
			whole.Release()
		}
	}
}

// Datagrams of other addresses, protocols and identifications are others.
func TestReassemblyKeepsDatagramsApart(t *testing.T) {
	noLeaks(t)
	r := testReassembler()
	r.add(epoch, fragmentOf(1, 0, true, pattern(80)))
	for _, change := range []func(h Header){
		func(h Header) { h[5]++ }, func(h Header) { h[9]++ }, func(h Header) { h[15]++ }, func(h Header) { h[19]++ },
	} {
		b := fragmentOf(1, 80, false, pattern(8))
		change(Header(b.Bytes()))
		if whole := r.add(epoch, b); whole != nil {
			t.Error("made whole with a fragment of another datagram")
			whole.Release()
		}
	}
	r.close()
}

// A datagram of more than 65535 bytes cannot be (the "ping of death").
func TestReassemblyTooLong(t *testing.T) {
	noLeaks(t)
	r := testReassembler()
	r.add(epoch, fragmentOf(1, 65528, false, pattern(8)))
	if n := dropFragment(r.stats); n != 1 {
		t.Errorf("%d are dropped, want 1", n)
	}

	// The options of the first may be what makes it too long.
	first := built(Fields{Protocol: ip.ProtocolUDP, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2"), Options: []byte{1, 1, 1, 1}}, pattern(65504))
	Header(first.Bytes())[6] = 0x20
	r.add(epoch, first)
	last := fragmentOf(0, 65504, false, pattern(11))
	if whole := r.add(epoch, last); whole != nil {
		t.Error("a datagram of 65539 bytes is made")
		whole.Release()
	}
	if n := dropFragment(r.stats); n != 3 || r.bytes != 0 {
		t.Errorf("%d are dropped, want 3; %d bytes are held", n, r.bytes)
	}
}

// RFC1122-3.3.2-3, RFC1122-3.3.2-4: the time is over after 30 s from the first to come, and the sender is
// told if fragment zero is there.
func TestReassemblyTimeout(t *testing.T) {
	noLeaks(t)
	r := testReassembler()
	if !r.deadline().IsZero() {
		t.Error("a deadline for nothing")
	}
	r.addAll(1, []piece{{80, 160, true}, {0, 80, true}})
	r.add(epoch.Add(time.Second), fragmentOf(2, 80, true, pattern(80)))
	r.add(epoch.Add(20*time.Second), fragmentOf(1, 160, true, pattern(80)))
	if got := r.deadline(); !got.Equal(epoch.Add(30 * time.Second)) {
		t.Errorf("deadline %v", got)
	}
	if _, ok := r.expire(epoch.Add(30*time.Second - 1)); ok {
		t.Error("expires too early")
	}
	first, ok := r.expire(epoch.Add(30 * time.Second))
	if !ok || first == nil || Header(first.Bytes()).FragmentOffset() != 0 || Header(first.Bytes()).ID() != 1 {
		t.Fatalf("after 30 s: %v, %v", first, ok)
	}
	first.Release()
	if first, ok := r.expire(epoch.Add(31 * time.Second)); !ok || first != nil {
		t.Errorf("without fragment zero: %v, %v", first, ok)
	}
	if _, ok := r.expire(epoch.Add(time.Hour)); ok || r.bytes != 0 || r.stats.DropReassemblyTimeout.Load() != 4 {
		t.Errorf("%d bytes are held, %d are counted", r.bytes, r.stats.DropReassemblyTimeout.Load())
	}
}

// fragmentFrom is a fragment of a source of its own.
func fragmentFrom(src uint32, id uint16) *packet.Buffer {
	b := fragmentOf(id, 0, true, pattern(80))
	binary.BigEndian.PutUint32(b.Bytes()[12:], src)
	return b
}

// Memory has two bounds, and counts buffers whole. No source has more than half,
// and its own oldest make room.
func TestReassemblyBounds(t *testing.T) {
	noLeaks(t)
	stats := &Stats{}
	r := newReassembler(30*time.Second, 1<<20, 8, seeded(), stats)
	for id := range uint16(10) {
		r.add(epoch, fragmentOf(id, 0, true, pattern(80)))
	}
	if len(r.datagrams) != 4 || r.byAge[0].id.id != 6 || stats.DropReassemblyFull.Load() != 6 {
		t.Errorf("%d datagrams from %d on, %d dropped", len(r.datagrams), r.byAge[0].id.id, stats.DropReassemblyFull.Load())
	}
	for i := range uint32(100) {
		r.add(epoch, fragmentFrom(i, 1))
		if len(r.datagrams) > 8 || len(r.byAge) != len(r.datagrams) {
			t.Fatalf("%d datagrams", len(r.datagrams))
		}
	}
	r.close()

	one := fragmentOf(0, 0, true, pattern(8))
	size := one.Size()
	r = newReassembler(30*time.Second, 10*size, 100, seeded(), stats)
	r.add(epoch, one)
	for i := range 20 {
		r.add(epoch, fragmentOf(1, 16*i, true, pattern(8)))
		if r.bytes > r.maxBytes/2 || r.bytes%size != 0 {
			t.Fatalf("%d bytes are held, of %d", r.bytes, r.maxBytes)
		}
	}
	for i := range uint32(100) {
		r.add(epoch, fragmentFrom(i, 1))
		if r.bytes > r.maxBytes {
			t.Fatalf("%d bytes are held, of %d", r.bytes, r.maxBytes)
		}
	}
	r.close()
}

// Somebody who has many datagrams in pieces here, and counts how many of them are
// dropped, does not see whether one more fragment, in the name of another, was
// taken as part of a datagram that is there or as the begin of one: the number
// varies much more than by the one that it would be. Six standard deviations are
// exceeded once in 10^9 runs.
func TestReassemblyTellsNothing(t *testing.T) {
	noLeaks(t)
	const tries = 300
	random := rand.New(rand.NewPCG(1, 2)).Uint64
	for _, filled := range []int{250, 400, 512} {
		var sum, squares [2]float64
		for more := range 2 {
			for range tries {
				stats := &Stats{}
				r := newReassembler(30*time.Second, DefaultReassemblyBytes, DefaultReassemblyDatagrams, random, stats)
				for i := range filled {
					r.add(epoch, fragmentFrom(uint32(1000+i%4), uint16(i)))
				}
				if more == 1 {
					r.add(epoch, fragmentFrom(7, 1))
				}
				dropped := float64(stats.DropReassemblyFull.Load())
				sum[more] += dropped
				squares[more] += dropped * dropped
				r.close()
			}
		}
		variance := func(i int) float64 { return max(0, squares[i]/tries-sum[i]/tries*sum[i]/tries) }
		if d := math.Abs(sum[1]-sum[0]) / tries; d > 1+6*math.Sqrt((variance(0)+variance(1))/tries) {
			t.Errorf("%d datagrams: %.2f more are dropped", filled, d)
		}
		if one := math.Sqrt(variance(0)); filled > 300 && one < 3 {
			t.Errorf("%d datagrams: what is dropped varies by %.1f only: one of another's would be seen", filled, one)
		}
	}
}

// Random fragments in random order: the datagram comes out as it was, or
// nothing does; memory keeps to its bounds, and nothing leaks.
func FuzzReassembly(f *testing.F) {
	f.Add(uint64(1), uint16(1480), uint16(4000), []byte{})
	f.Add(uint64(2), uint16(8), uint16(100), []byte{1, 2, 3, 4})
	f.Add(uint64(3), uint16(48), uint16(3000), []byte{200, 7, 9, 0, 0, 31})
	f.Fuzz(func(t *testing.T, seed uint64, step, length uint16, noise []byte) {
		before := packet.Live()
		random := rand.New(rand.NewPCG(seed, 1))
		mtu := ip.MinMTU + int(step)%1500
		data := pattern(1 + int(length)%8000)
		all := cut(fragmentOf(1, 0, false, data), mtu)
		if random.IntN(2) == 0 {
			all = append(all, all[random.IntN(len(all))].Clone())
		}
		for i := 0; i+2 < len(noise) && i < 300; i += 3 { // fragments of anything
			size := int(noise[i+1])
			all = append(all, fragmentOf(uint16(noise[i])%4, int(noise[i+2])*8, noise[i]&4 != 0, pattern(size)))
		}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })

		r := newReassembler(30*time.Second, 64<<10, 3, seeded(), &Stats{})
		now := epoch
		for _, p := range all {
			now = now.Add(time.Duration(random.IntN(3)) * time.Second)
			id := Header(p.Bytes()).ID()
			if whole := r.add(now, p); whole != nil {
				h, err := Parse(whole.Bytes())
				if err != nil || len(h) != whole.Len() || h.MF() || h.FragmentOffset() != 0 {
					t.Fatalf("%v, %v", h, err)
				}
				if id == 1 && len(noise) < 3 && !bytes.Equal(h.Payload(), data) {
					t.Fatal("the datagram is another")
				}
				whole.Release()
			}
			for {
				first, ok := r.expire(now)
				if !ok {
					break
				}
				if first != nil {
					first.Release()
				}
			}
			pinned := 0
			for _, a := range r.byAge {
				have := 0
				for _, p := range a.parts {
					pinned += p.Size()
					have += len(Header(p.Bytes()).Payload())
				}
				if !a.dead && have != a.have {
					t.Fatalf("%d payload bytes are held, %d counted", have, a.have)
				}
			}
			if pinned != r.bytes || r.bytes > r.maxBytes || len(r.byAge) > r.maxDatagrams || len(r.byAge) != len(r.datagrams) {
				t.Fatalf("%d bytes are held and %d counted, of %d datagrams", pinned, r.bytes, len(r.byAge))
			}
		}
		r.close()
		if n := packet.Live() - before; n != 0 {
			t.Fatalf("%d packets leak", n)
		}
	})
}

func BenchmarkReassembly(b *testing.B) {
	r := testReassembler()
	b.SetBytes(8000)
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range cut(fragmentOf(1, 0, false, make([]byte, 8000)), 1500) {
			if whole := r.add(epoch, p); whole != nil {
				whole.Release()
			}
		}
	}
}

// BenchmarkSmallFragments is what a fragment of 8 bytes costs, of a datagram that
// has been cut into as many as there can be, which come from the last to the first.
func BenchmarkSmallFragments(b *testing.B) {
	const most = MaxLen / 8
	stats := &Stats{}
	r := newReassembler(30*time.Second, 64<<20, 4, seeded(), stats)
	defer r.close()
	for i := 0; b.Loop(); i++ {
		r.add(epoch, fragmentOf(uint16(i/most), 8*(most-3-i%most), true, pattern(8)))
	}
}

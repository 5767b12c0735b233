package s3

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestSpans adds spans at random and compares them with a set of bytes.
func TestSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		const size = 64
		var s spans
		var set [size]bool
		for range r.IntN(12) {
			lo := r.IntN(size)
			hi := lo + r.IntN(size-lo+1)
			s = s.add(lo, hi)
			for i := lo; i < hi; i++ {
				set[i] = true
			}
			for i, e := range s {
				if e.lo >= e.hi || i > 0 && e.lo <= s[i-1].hi {
					t.Fatalf("%v", s)
				}
			}
		}
		missing := set
		s.gaps(size, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				if missing[i] {
					t.Fatalf("byte %d of %v is a gap", i, s)
				}
				missing[i] = true
			}
		})
		if slices.Contains(missing[:], false) {
			t.Fatalf("not all gaps of %v", s)
		}
		for lo := range size {
			for hi := lo; hi <= size; hi++ {
				if want := !slices.Contains(set[lo:hi], false); s.covers(lo, hi) != want {
					t.Fatalf("%v covers %d to %d: %v", s, lo, hi, !want)
				}
			}
		}
	}
}

// TestIndex sets entries and looks which pages are there, and which have changed.
func TestIndex(t *testing.T) {
	x := newIndex()
	if x.set(5, entry{}); len(x.pages) != 0 {
		t.Error("a hole has made a page")
	}
	a, b := entry{version{1, 1}, 7}, entry{version{1, 2}, 8}
	x.set(5, a)
	if old := x.set(5, b); old != a || x.get(5) != b || x.pages[0].used != 1 {
		t.Errorf("%v, %v, %d", old, x.get(5), x.pages[0].used)
	}
	x.pages[0].changed = false
	if x.set(5, b); x.pages[0].changed {
		t.Error("the same entry is a change")
	}
	x.set(3*pageChunks+1, a)
	for from, want := range map[int64]int64{0: 5, 5: 5, 6: 3*pageChunks + 1, 3*pageChunks + 2: 1 << 20} {
		if got := x.next(from, 1<<20); got != want {
			t.Errorf("after %d: %d, want %d", from, got, want)
		}
	}
	if got := x.next(0, 3); got != 3 {
		t.Errorf("before 3: %d", got)
	}
	p, err := decodePage(x.pages[3].encode(3), 3)
	if err != nil || p.entries != x.pages[3].entries || p.used != 1 {
		t.Errorf("%v", err)
	}
	if _, err := decodePage(x.pages[3].encode(3), 4); err == nil {
		t.Error("a page is taken for another one")
	}
}

// TestCacheRoom fills a cache: what the bucket has not is never given up, and reads
// find room all the same.
func TestCacheRoom(t *testing.T) {
	const size = 4096
	k := newCache(size, 8)
	p := bytes.Repeat([]byte{1}, size)
	for i := range int64(6) {
		if !k.write(i, 0, p, size, true) {
			t.Fatalf("no room for chunk %d", i)
		}
	}
	if k.write(6, 0, p, size, true) || k.held != 6 || k.used != 6 {
		t.Fatalf("%d are held, %d used", k.held, k.used)
	}
	for i := range int64(50) { // reads go through the other two
		c, ok, ask := k.fetch(100 + i)
		if !ok || !ask {
			t.Fatalf("no room to read (%v, %v)", ok, ask)
		}
		k.fetched(c, p)
		if k.used > 8 {
			t.Fatalf("%d are used", k.used)
		}
	}
	frozen := k.freeze()
	if len(frozen) != 6 || k.dirty != 0 || k.held != 6 || k.write(0, 0, p, 10, true) {
		t.Fatalf("%d frozen, %d dirty, %d held", len(frozen), k.dirty, k.held)
	}
	for _, c := range frozen {
		k.published(c)
	}
	if k.held != 0 {
		t.Errorf("%d are held after all was published", k.held)
	}
	for i := range int64(6) {
		if !k.write(200+i, 0, p, size, true) {
			t.Fatalf("no room for chunk %d after the others were published", 200+i)
		}
	}
	if k.used != 8 || k.recent.Len() != 8 || len(k.chunks) != 8 {
		t.Errorf("%d used, %d in the list, %d in the map", k.used, k.recent.Len(), len(k.chunks))
	}
}

// TestCacheFreeze changes a chunk after it was frozen: the frozen image stays, also
// where part of it comes from the object later.
func TestCacheFreeze(t *testing.T) {
	const size = 4096
	k := newCache(size, 8)
	k.write(1, 100, []byte("first"), 5, false)
	c := k.freeze()[0]
	k.write(1, 102, []byte("second"), 6, false)
	if k.held != 2 || k.used != 2 {
		t.Errorf("%d are held, %d used", k.held, k.used)
	}
	p := make([]byte, 10)
	if k.read(1, 98, p, false) {
		t.Error("what was never read is known")
	}
	k.fetch(1)
	k.fetched(c, bytes.Repeat([]byte{'.'}, size))
	if !k.read(1, 98, p, false) || string(p) != "..fisecond" {
		t.Errorf("%q", p)
	}
	if got := c.frozen.data[98:108]; string(got) != "..first..." || !c.frozen.full {
		t.Errorf("frozen is %q", got)
	}
	k.write(1, 0, nil, size, false) // zeroes over all
	if k.published(c); !c.dirty || k.held != 0 {
		t.Errorf("dirty %v, %d held", c.dirty, k.held)
	}
	k.published(k.freeze()[0])
	if len(k.chunks) != 0 || k.used != 0 || k.recent.Len() != 0 {
		t.Errorf("a hole takes room: %d chunks, %d used", len(k.chunks), k.used)
	}
}

// TestSchedule tries jobs again after pauses that grow to 5 s.
func TestSchedule(t *testing.T) {
	s := schedule{rand: rand.New(rand.NewPCG(1, 1))}
	now := time.Unix(1000, 0)
	a, b := &job{number: 1}, &job{number: 2}
	s.add(a)
	s.add(b)
	if s.next() != a || s.len() != 2 {
		t.Fatal("not the first")
	}
	s.taken()
	if s.next() != b {
		t.Fatal("not the second")
	}
	for i, longest := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000} {
		longest *= time.Millisecond
		s.retry(a, now)
		pause := s.deadline().Sub(now)
		if pause < longest/2 || pause > longest {
			t.Errorf("pause %d is %v of at most %v", i, pause, longest)
		}
		s.expire(s.deadline().Add(-1))
		if len(s.ready) != 1 {
			t.Fatal("too early")
		}
		now = s.deadline()
		s.expire(now)
		if len(s.ready) != 2 || s.ready[1] != a {
			t.Fatal("not in time")
		}
		s.ready = s.ready[:1]
	}
	if !s.deadline().IsZero() {
		t.Errorf("the deadline is %v", s.deadline())
	}
}

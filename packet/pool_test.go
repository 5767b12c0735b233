package packet

import "testing"

// TestClasses: a Buffer has room for what was asked for, from the smallest
// class that has it.
func TestClasses(t *testing.T) {
	for _, c := range []struct{ n, size int }{
		{0, 512}, {512 - Headroom, 512},
		{512 - Headroom + 1, 2048}, {1514, 2048}, {2048 - Headroom, 2048},
		{2048 - Headroom + 1, 10240}, {9014, 10240}, {10240 - Headroom, 10240},
		{10240 - Headroom + 1, 73728}, {MaxSize, 73728},
	} {
		b := Get(c.n)
		if b.Size() != c.size || b.Room() < c.n || b.Len() != 0 {
			t.Errorf("Get(%d): size %d, want %d; room %d, length %d", c.n, b.Size(), c.size, b.Room(), b.Len())
		}
		b.Release()
	}
	if !panics(func() { Get(sizes[len(sizes)-1]) }) {
		t.Error("Get of more than the largest class goes through")
	}
}

// TestGetIsFresh: nothing of a packet's former life is left.
func TestGetIsFresh(t *testing.T) {
	for range 100 {
		b := From([]byte("data"))
		if b.Link != 0 || b.Group || b.SegmentSize != 0 || b.Checksum != ChecksumComplete || b.NextHop.IsValid() || !b.Arrived.IsZero() {
			t.Fatalf("fresh packet has %+v", b)
		}
		if string(b.Network()) != "data" || panics(func() { b.Push(Headroom) }) {
			t.Fatal("fresh packet has its front or network header elsewhere")
		}
		b.MarkNetwork()
		b.SetPartial(0, 0)
		b.Link, b.Group, b.SegmentSize = 1, true, 2
		b.Release()
	}
}

func TestFrom(t *testing.T) {
	p := []byte("data")
	b := From(p)
	defer b.Release()
	p[0] = 'D'
	if string(b.Bytes()) != "data" {
		t.Errorf("%q", b.Bytes())
	}
}

func TestGetReleaseDoesNotAllocate(t *testing.T) {
	if Checked {
		t.Skip("under -race, sync.Pool loses things on purpose")
	}
	for _, n := range []int{1, 1514, 9000, MaxSize} {
		if allocs := testing.AllocsPerRun(1000, func() { Get(n).Release() }); allocs != 0 {
			t.Errorf("Get(%d): %v allocations", n, allocs)
		}
	}
}

func BenchmarkGetRelease(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Get(1514).Release()
	}
}

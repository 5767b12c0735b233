package ring

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestAgainstSlice(t *testing.T) {
	var q Queue[int]
	var want []int
	rnd := rand.New(rand.NewPCG(1, 2))
	for x := range 100000 {
		switch op := rnd.IntN(10); {
		case op < 4:
			q.Push(x)
			want = append(want, x)
		case op < 5:
			i := rnd.IntN(len(want) + 1)
			q.Insert(i, x)
			want = slices.Insert(want, i, x)
		case op < 6 && len(want) > 1:
			i := rnd.IntN(len(want))
			q.Remove(i)
			want = slices.Delete(want, i, i+1)
		case op < 7 && rnd.IntN(1000) == 0:
			q.Clear()
			want = want[:0]
		case len(want) > 0:
			if got := q.Pop(); got != want[0] {
				t.Fatalf("Pop = %d, want %d", got, want[0])
			}
			want = want[1:]
		}
		if q.Len() != len(want) {
			t.Fatalf("Len = %d, want %d", q.Len(), len(want))
		}
		for i, w := range want {
			if *q.At(i) != w {
				t.Fatalf("At(%d) = %d, want %d", i, *q.At(i), w)
			}
		}
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	var q Queue[int]
	q.Push(0)
	if n := testing.AllocsPerRun(1000, func() { q.Push(1); q.Pop() }); n != 0 {
		t.Errorf("%v allocations per Push and Pop", n)
	}
}

// TestLongSteadyState: a queue that is long again and again keeps its room, until
// it has been short for once.
func TestLongSteadyState(t *testing.T) {
	var q Queue[int]
	fill := func(n int) {
		for i := range n {
			q.Push(i)
		}
		for range n {
			q.Pop()
		}
	}
	fill(100)
	if n := testing.AllocsPerRun(100, func() { fill(100) }); n != 0 {
		t.Errorf("%v allocations for 100 items that come and go", n)
	}
	if fill(10); q.items != nil {
		t.Errorf("room for %d items after 10", len(q.items))
	}
}

// TestClear: no memory is held for what has left, and little for what was long.
func TestClear(t *testing.T) {
	for _, n := range []int{0, 1, 50, 1000} {
		var q Queue[*int]
		for range n {
			q.Push(&n)
		}
		q.Clear()
		if q.Len() > 0 || len(q.items) > 64 || slices.ContainsFunc(q.items, func(p *int) bool { return p != nil }) {
			t.Errorf("%d items: %d are left, in a memory of %d: %v", n, q.Len(), len(q.items), q.items)
		}
	}
}

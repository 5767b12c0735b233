package segment

import "testing"

// TestSeqOrder: RFC9293-3.4: numbers compare on the circle, the wrap included.
func TestSeqOrder(t *testing.T) {
	for _, c := range []struct {
		a    Seq
		n    int // b is a + n
		want int // sign of b - a
	}{
		{0, 0, 0}, {0, 1, 1}, {0, -1, -1}, {0xffffffff, 1, 1}, {0xfffffff0, 100, 1}, {5, -100, -1},
		{0x80000000, 1<<31 - 1, 1}, {0x7fffffff, 1, 1}, {7, 1<<31 - 1, 1}, {7, -(1<<31 - 1), -1},
	} {
		b := c.a.Add(c.n)
		if got := b.Sub(c.a); got != c.n {
			t.Errorf("%d + %d - %d is %d", c.a, c.n, c.a, got)
		}
		if b.After(c.a) != (c.want > 0) || b.Before(c.a) != (c.want < 0) {
			t.Errorf("%d against %d: after %v, before %v", b, c.a, b.After(c.a), b.Before(c.a))
		}
		if want := map[bool]Seq{true: b, false: c.a}[c.want > 0]; Later(c.a, b) != want || Later(b, c.a) != want {
			t.Errorf("later of %d and %d is %d", c.a, b, Later(c.a, b))
		}
	}
}

// TestSeqWithin: the left end is inside, the right one is not, and an empty
// window has no inside.
func TestSeqWithin(t *testing.T) {
	const lo Seq = 0xfffffffe
	for n, want := range map[int]bool{-1: false, 0: true, 1: true, 4: true, 5: false, 1 << 30: false} {
		if got := lo.Add(n).Within(lo, 5); got != want {
			t.Errorf("lo%+d is inside of five: %v", n, got)
		}
	}
	if lo.Within(lo, 0) || lo.Within(lo, -1) {
		t.Error("an empty window has an inside")
	}
}

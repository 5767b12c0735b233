package tcp

// seq is a sequence number: a point on a circle of 2^32 (RFC 9293 section
// 3.4). It has no order of its own, so it is compared by these methods only,
// which are right for two numbers less than 2^31 apart.
type seq uint32

// before says a < b.
func (a seq) before(b seq) bool { return int32(a-b) < 0 }

// after says a > b.
func (a seq) after(b seq) bool { return int32(a-b) > 0 }

// add is the number n bytes further on.
func (a seq) add(n int) seq { return a + seq(n) }

// sub is how far a is beyond b; negative when it is before b.
func (a seq) sub(b seq) int { return int(int32(a - b)) }

// within says lo <= a < lo+n.
func (a seq) within(lo seq, n int) bool { return n > 0 && uint32(a-lo) < uint32(n) }

func later(a, b seq) seq {
	if a.after(b) {
		return a
	}
	return b
}

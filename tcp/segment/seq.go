package segment

// Seq is a sequence number: a point on a circle of 2^32 (RFC 9293 section
// 3.4). It has no order of its own, so it is compared by these methods only,
// which are right for two numbers less than 2^31 apart.
type Seq uint32

// Before says a < b.
func (a Seq) Before(b Seq) bool { return int32(a-b) < 0 }

// After says a > b.
func (a Seq) After(b Seq) bool { return int32(a-b) > 0 }

// Add is the number n bytes further on.
func (a Seq) Add(n int) Seq { return a + Seq(n) }

// Sub is how far a is beyond b; negative when it is before b.
func (a Seq) Sub(b Seq) int { return int(int32(a - b)) }

// Within says lo <= a < lo+n.
func (a Seq) Within(lo Seq, n int) bool { return n > 0 && uint32(a-lo) < uint32(n) }

func Later(a, b Seq) Seq {
	if a.After(b) {
		return a
	}
	return b
}

package referee

import "slices"

// A span is the sequence numbers from left to right, right excluded.
type span struct{ left, right uint32 }

// after compares sequence numbers (RFC 9293 section 3.4).
func after(a, b uint32) bool { return int32(a-b) > 0 }

// later is the larger of two sequence numbers.
func later(a, b uint32) uint32 {
	if after(b, a) {
		return b
	}
	return a
}

// received is what has arrived of a stream: all before nxt, and the spans
// ahead of the first hole, in order and apart.
type received struct {
	nxt   uint32
	ahead []span
}

// add notes that s has arrived.
func (r *received) add(s span) {
	if !after(s.right, s.left) || !after(s.right, r.nxt) {
		return
	}
	i := 0
	for i < len(r.ahead) && after(s.left, r.ahead[i].right) {
		i++
	}
	j := i
	for ; j < len(r.ahead) && !after(r.ahead[j].left, s.right); j++ {
		if after(s.left, r.ahead[j].left) {
			s.left = r.ahead[j].left
		}
		s.right = later(s.right, r.ahead[j].right)
	}
	r.ahead = slices.Replace(r.ahead, i, j, s)
	if !after(r.ahead[0].left, r.nxt) {
		r.nxt = r.ahead[0].right
		r.ahead = slices.Delete(r.ahead, 0, 1)
	}
}

// has says whether all of s has arrived.
func (r *received) has(s span) bool {
	if !after(s.right, r.nxt) {
		return true
	}
	return slices.ContainsFunc(r.ahead, func(a span) bool { return !after(a.left, s.left) && !after(s.right, a.right) })
}

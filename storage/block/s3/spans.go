package s3

import "slices"

// A span is the bytes from lo up to hi.
type span struct{ lo, hi int }

// spans are ascending and apart from each other.
type spans []span

// add returns the spans and the bytes from lo up to hi.
func (s spans) add(lo, hi int) spans {
	if lo >= hi {
		return s
	}
	first, _ := slices.BinarySearchFunc(s, lo, func(e span, lo int) int { return e.hi - lo })
	end := first
	for ; end < len(s) && s[end].lo <= hi; end++ {
		lo, hi = min(lo, s[end].lo), max(hi, s[end].hi)
	}
	return slices.Replace(s, first, end, span{lo, hi})
}

// covers says whether all bytes from lo up to hi are there.
func (s spans) covers(lo, hi int) bool {
	i, _ := slices.BinarySearchFunc(s, lo+1, func(e span, at int) int { return e.hi - at })
	return lo >= hi || i < len(s) && s[i].lo <= lo && hi <= s[i].hi
}

// gaps calls f for what is missing below size.
func (s spans) gaps(size int, f func(lo, hi int)) {
	at := 0
	for _, e := range s {
		if at < e.lo {
			f(at, e.lo)
		}
		at = e.hi
	}
	if at < size {
		f(at, size)
	}
}

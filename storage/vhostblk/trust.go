package vhostblk

import "time"

// A trust says whether the next call of a device had better be made by another
// goroutine than the owner of the ring, who must not be held up. After a call that
// was slow some are, the more the oftener that happens.
type trust struct {
	left    int // calls for others
	penalty int // left, after the next slow call
	quick   int // calls since the last slow one
}

const (
	slowCall     = 200 * time.Microsecond
	leastPenalty = 64
	mostPenalty  = 1 << 16
	trustAfter   = 256 // quick calls halve the penalty
)

// ask says whether the owner makes the next call.
func (t *trust) ask() bool {
	if t.left > 0 {
		t.left--
		return false
	}
	return true
}

// learn hears how long a call of so many bytes took that the owner has made.
func (t *trust) learn(took time.Duration, bytes int) {
	if took > slowCall+time.Duration(bytes) { // nanoseconds, at 1 GB/s
		t.penalty = min(max(2*t.penalty, leastPenalty), mostPenalty)
		t.left, t.quick = t.penalty, 0
		return
	}
	if t.quick++; t.quick%trustAfter == 0 {
		t.penalty /= 2
	}
}

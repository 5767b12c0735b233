package link

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Queueing counts what one queue does, and how long frames wait in it. Any
// goroutine may look. The zero value is ready.
type Queueing struct {
	Frames, Bytes atomic.Uint64 // that have left for the line
	Drops         atomic.Uint64 // by the tail or by the Manager
	Marks         atomic.Uint64 // of ECN

	wait  atomic.Int64 // sum of all delays, in ns
	most  atomic.Int64
	delay [delayBuckets]atomic.Uint64
}

// The delays are counted in buckets: by the nanosecond up to 16, and 16 to each
// power of two from there on, so that a quantile is right by 1/16.
const (
	delayBits    = 4
	delayBuckets = (64 - delayBits) << delayBits
)

// bucket is where a delay of d ≥ 0 is counted.
func bucket(d time.Duration) int {
	octave := max(0, bits.Len64(uint64(d))-delayBits-1)
	return octave<<delayBits + int(d>>octave)
}

// upTo is the longest delay of a bucket.
func upTo(bucket int) time.Duration {
	octave := max(0, bucket>>delayBits-1)
	return time.Duration(bucket-octave<<delayBits+1)<<octave - 1
}

// add counts a frame of n bytes that has waited for d. There is one caller at
// a time.
func (q *Queueing) add(d time.Duration, n int) {
	q.Frames.Add(1)
	q.Bytes.Add(uint64(n))
	q.wait.Add(int64(d))
	q.most.Store(max(q.most.Load(), int64(d)))
	q.delay[bucket(d)].Add(1)
}

// Mean is the mean delay in the queue.
func (q *Queueing) Mean() time.Duration {
	return time.Duration(q.wait.Load() / int64(max(1, q.Frames.Load())))
}

// Max is the longest delay in the queue.
func (q *Queueing) Max() time.Duration { return time.Duration(q.most.Load()) }

// Quantile is the delay that the part p of the frames, 0 to 1, has not
// exceeded; it may be too long by a sixteenth, but is never more than Max.
func (q *Queueing) Quantile(p float64) time.Duration {
	total := uint64(0)
	for i := range q.delay {
		total += q.delay[i].Load()
	}
	rank, seen := uint64(p*float64(total)), uint64(0)
	for i := range q.delay {
		if seen += q.delay[i].Load(); seen > 0 && seen >= rank {
			return min(upTo(i), q.Max())
		}
	}
	return 0
}

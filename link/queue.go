package link

import (
	"math/rand/v2"
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/packet"
)

// A Manager says how the queue of an [Impairment] is managed before it is
// full: by [RED], [CoDel] or [Step].
type Manager interface {
	// manage returns the machine for a line of rate bit/s.
	manage(rate int64, random *rand.Rand) manager
}

// A manager judges the frames that come to a queue and that leave it. It is a
// machine; instants are counted as those of the impairer.
type manager interface {
	// arrives judges a frame of n bytes that is about to join q.
	arrives(now time.Duration, q *backlog, n int) verdict

	// leaves judges the frame that has just been taken off the head of q. When
	// that is dropped the next one is taken, and judged at the same instant.
	leaves(now time.Duration, q *backlog, since time.Duration) verdict

	// emptied: the last frame has left the queue, and has been judged.
	emptied(now time.Duration)
}

// A verdict is what becomes of a frame.
type verdict uint8

const (
	pass verdict = iota
	hint         // mark it if its sender understands marks; otherwise pass
	mark         // mark it if its sender understands marks; otherwise drop
	drop
)

// A backlog is the frames that wait for the line, the oldest first.
type backlog struct {
	frames ring.Queue[waiting]
	bytes  int
}

type waiting struct {
	b     *packet.Buffer
	since time.Duration
}

func (q *backlog) len() int { return q.frames.Len() }

func (q *backlog) push(now time.Duration, b *packet.Buffer) {
	q.bytes += b.Len()
	q.frames.Push(waiting{b, now})
}

func (q *backlog) pop() waiting {
	w := q.frames.Pop()
	q.bytes -= w.b.Len()
	return w
}

// A line sends frames one after the other at a rate, from a queue that drops
// at its tail.
type line struct {
	rate int64         // bit/s
	free time.Duration // when the last bit of the last frame has been sent
	rest int64         // what free lacks, in ns/rate, so that rounding does not add up

	queue    backlog
	frames   int // that wait at most
	bytes    int // of frames that wait at most; 0 is no limit
	manager  manager
	stats    *Stats
	queueing *Queueing
	header   int // as that of the impairer
}

// newLine returns the line of c, for which all defaults are set.
func newLine(c *Impairment, header int, random *rand.Rand, stats *Stats) *line {
	l := &line{
		header: header, rate: c.Rate, frames: max(c.Queue, 0), bytes: c.QueueBytes,
		stats: stats, queueing: c.Queueing,
	}
	if c.Manager != nil {
		l.manager = c.Manager.manage(c.Rate, random)
	}
	if l.queueing == nil {
		l.queueing = new(Queueing)
	}
	return l
}

// take queues a frame, or drops it. What is to leave before now has left.
func (l *line) take(now time.Duration, b *packet.Buffer) {
	idle := l.free <= now && l.queue.len() == 0
	full := l.queue.len() >= l.frames || l.bytes > 0 && l.queue.bytes+b.Len() > l.bytes
	if full && !idle {
		l.queueing.Drops.Add(1)
		l.stats.DropQueueFull.Add(1)
		b.Release()
		return
	}
	if l.manager == nil || l.apply(l.manager.arrives(now, &l.queue, b.Len()), b) {
		l.queue.push(now, b)
	}
}

// next sends the next frame, if the line is free for it at now or before. It
// returns when the last bit will have been sent.
func (l *line) next(now time.Duration) (at time.Duration, b *packet.Buffer) {
	for l.queue.len() > 0 && l.start() <= now {
		start := l.start()
		w := l.queue.pop()
		kept := l.manager == nil || l.apply(l.manager.leaves(start, &l.queue, w.since), w.b)
		if l.manager != nil && l.queue.len() == 0 {
			l.manager.emptied(start)
		}
		if !kept {
			continue
		}
		n := w.b.Len()
		l.queueing.add(start-w.since, n)
		return l.send(start, n), w.b
	}
	return 0, nil
}

// start is when the frame at the head of the queue, which is not empty, begins
// to be sent.
func (l *line) start() time.Duration { return max(l.free, l.queue.frames.At(0).since) }

// send puts n bytes on the line, and returns when the last bit has been sent.
func (l *line) send(start time.Duration, n int) time.Duration {
	if l.free < start {
		l.free, l.rest = start, 0
	}
	t := int64(n)*8*int64(time.Second) + l.rest
	l.free += time.Duration(t / l.rate)
	l.rest = t % l.rate
	return l.free
}

// apply marks or drops b as the manager has decided, and says whether b was kept.
func (l *line) apply(v verdict, b *packet.Buffer) bool {
	if v == hint || v == mark {
		switch capable := markCE(b.Bytes(), l.header); {
		case capable:
			l.queueing.Marks.Add(1)
			l.stats.Marked.Add(1)
		case v == mark:
			v = drop
		}
	}
	if v != drop {
		return true
	}
	l.queueing.Drops.Add(1)
	l.stats.DropManaged.Add(1)
	b.Release()
	return false
}

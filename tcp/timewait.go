package tcp

import (
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
)

// A timeWait is a connection in TIME-WAIT: what is left of it once its
// goroutine has ended (MUST-13).
type timeWait struct {
	sndNxt, rcvNxt seq
	window         uint16 // as last sent
	timestamps     bool
	tsRecent       uint32
	tsOffset       uint32
	until          time.Time
}

// timeWait is what the table keeps of t.
func (t *tcb) timeWait(now time.Time) timeWait {
	return timeWait{
		sndNxt: t.snd.nxt, rcvNxt: t.rcv.nxt, window: t.windowField(),
		timestamps: t.timestamps, tsRecent: t.tsRecent, tsOffset: t.tsOffset,
		until: now.Add(2 * t.cfg.MSL),
	}
}

// A timeWaits is the table of all connections in TIME-WAIT, bounded, with the
// oldest first.
type timeWaits struct {
	byFlow map[flow]timeWait
	queue  ring.Queue[waiting] // in the order of until
	limit  int
}

// waiting is a place in the queue. It is void when the table has another
// until for its flow.
type waiting struct {
	flow  flow
	until time.Time
}

func (w *timeWaits) add(f flow, tw timeWait, stats *Stats) {
	if w.byFlow == nil {
		w.byFlow = make(map[flow]timeWait)
	}
	w.byFlow[f] = tw
	w.queue.Push(waiting{f, tw.until})
	for len(w.byFlow) > w.limit {
		if w.pop() {
			stats.TimeWaitsEvicted.Add(1)
		}
	}
	if w.queue.Len() > 2*w.limit {
		w.compact()
	}
}

// isVoid says whether the place p is one that its flow has left.
func (w *timeWaits) isVoid(p waiting) bool {
	tw, ok := w.byFlow[p.flow]
	return !ok || !tw.until.Equal(p.until)
}

// pop drops the first place, and says whether it was not void: then its flow,
// the oldest, is forgotten.
func (w *timeWaits) pop() bool {
	old := w.queue.Pop()
	if w.isVoid(old) {
		return false
	}
	delete(w.byFlow, old.flow)
	return true
}

// compact drops the void places, of which a peer that repeats its FIN makes
// one each time.
func (w *timeWaits) compact() {
	for range w.queue.Len() {
		if p := w.queue.Pop(); !w.isVoid(p) {
			w.queue.Push(p)
		}
	}
}

// deadline is when the oldest has waited long enough; zero for never.
func (w *timeWaits) deadline() time.Time {
	if w.queue.Len() == 0 {
		return time.Time{}
	}
	return w.queue.At(0).until
}

func (w *timeWaits) expire(now time.Time) {
	for w.queue.Len() > 0 && due(w.queue.At(0).until, now) {
		w.pop()
	}
}

// segmentArrives is SEGMENT ARRIVES in TIME-WAIT. It returns the
// acknowledgement to be sent, if any, or says that s is a SYN which may open a
// new connection in the place of the old one (RFC 9293 section 3.6.1, MAY-2).
func (w *timeWaits) segmentArrives(now time.Time, f flow, s *segment, msl time.Duration, stats *Stats) (reply segment, answer, reopen bool) {
	tw := w.byFlow[f]
	switch {
	case s.has(RST):
		// RFC 1337 section 3 (1): a reset must not cut the wait short.
		stats.DropTimeWait.Add(1)
		return segment{}, false, false
	case s.has(SYN) && !s.has(ACK) && tw.newer(s):
		delete(w.byFlow, f)
		return segment{}, false, true
	case s.has(FIN) && s.end() == tw.rcvNxt: // the peer has not had our acknowledgement: wait anew
		tw.until = now.Add(2 * msl)
		w.add(f, tw, stats)
	case s.span() == 0 && s.seq == tw.rcvNxt:
		stats.DropTimeWait.Add(1) // in order and empty: nothing to say
		return segment{}, false, false
	}
	reply = segment{seq: tw.sndNxt, ack: tw.rcvNxt, flags: ACK, window: tw.window}
	if tw.timestamps {
		reply.opts = options{hasTimestamps: true, tsVal: timestamp(now, tw.tsOffset), tsEcr: tw.tsRecent}
	}
	return reply, true, false
}

// newer says whether the SYN s can only come from a new connection: by its
// timestamp or, where that does not decide, by its sequence number (RFC 6191
// section 2).
func (tw *timeWait) newer(s *segment) bool {
	if tw.timestamps && s.opts.hasTimestamps && s.opts.tsVal != tw.tsRecent {
		return int32(s.opts.tsVal-tw.tsRecent) > 0
	}
	return s.seq.after(tw.rcvNxt)
}

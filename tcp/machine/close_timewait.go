package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A timeWait is a connection in TIME-WAIT: what is left of it once its
// goroutine has ended (MUST-13).
type timeWait struct {
	sndNxt, rcvNxt segment.Seq
	window         uint16 // as last sent
	timestamps     bool
	tsRecent       uint32
	tsOffset       uint32
	until          time.Time
	answered       time.Time // when an acknowledgement last went out that the peer may not have needed
}

// timeWait is what the table keeps of t.
func (t *TCB) timeWait(now time.Time) timeWait {
	return timeWait{
		sndNxt: t.snd.nxt, rcvNxt: t.rcv.nxt, window: t.windowField(),
		timestamps: t.timestamps, tsRecent: t.tsRecent, tsOffset: t.tsOffset,
		until: now.Add(2 * t.cfg.MSL),
	}
}

// A timeWaits is the table of all connections in TIME-WAIT, bounded, with the
// oldest first.
//
// Where a new connection takes the place of an old one, that stays taken until the
// old one would have gone: by a place that is free at once whoever fills the table
// would see whether a SYN that he forges in the name of another meets a connection
// in TIME-WAIT.
type timeWaits struct {
	byFlow map[ip.Flow]timeWait
	reused map[ip.Flow]time.Time // until when the place of the old connection is taken
	queue  ring.Queue[waiting]   // in the order of until
	limit  int
}

// waiting is a place in the queue. It is void when the table has another
// until for its flow.
type waiting struct {
	flow  ip.Flow
	until time.Time
}

func (w *timeWaits) add(f ip.Flow, tw timeWait, stats *Stats) {
	if w.byFlow == nil {
		w.byFlow, w.reused = make(map[ip.Flow]timeWait), make(map[ip.Flow]time.Time)
	}
	w.byFlow[f] = tw
	delete(w.reused, f)
	w.queue.Push(waiting{f, tw.until})
	for len(w.byFlow)+len(w.reused) > w.limit {
		if w.pop() {
			stats.TimeWaitsEvicted.Add(1)
		}
	}
	if w.queue.Len() > 2*w.limit {
		w.compact()
	}
}

// isVoid says whether the place p is one that its flow has left for another.
func (w *timeWaits) isVoid(p waiting) bool {
	if tw, ok := w.byFlow[p.flow]; ok {
		return !tw.until.Equal(p.until)
	}
	until, ok := w.reused[p.flow]
	return !ok || !until.Equal(p.until)
}

// pop drops the first place, and says whether a connection, the oldest, is
// forgotten with it.
func (w *timeWaits) pop() bool {
	old := w.queue.Pop()
	if w.isVoid(old) {
		return false
	}
	_, forgotten := w.byFlow[old.flow]
	delete(w.byFlow, old.flow)
	delete(w.reused, old.flow)
	return forgotten
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
	for w.queue.Len() > 0 && Due(w.queue.At(0).until, now) {
		w.pop()
	}
}

// segmentArrives is SEGMENT ARRIVES in TIME-WAIT. It returns the
// acknowledgement to be sent, if any, or says that s is a SYN which may open a
// new connection in the place of the old one (RFC 9293 section 3.6.1, MAY-2).
func (w *timeWaits) segmentArrives(now time.Time, f ip.Flow, s *segment.Segment, cfg *Config, stats *Stats) (reply segment.Segment, answer, reopen bool) {
	tw := w.byFlow[f]
	switch {
	case s.Has(segment.RST):
		// RFC 1337 section 3 (F1): a reset must not cut the wait short.
		stats.DropTimeWait.Add(1)
		return segment.Segment{}, false, false
	case s.Has(segment.SYN) && !s.Has(segment.ACK) && tw.newer(s, cfg):
		return segment.Segment{}, false, true
	case tw.timestamps && !s.Opts.HasTimestamps && !s.Has(segment.SYN): // RFC 7323 section 3.2
		stats.DropPAWS.Add(1)
		return segment.Segment{}, false, false
	case tw.repeatsFIN(s): // the peer has not had our acknowledgement: wait anew
		tw.until = now.Add(2 * cfg.MSL)
		w.add(f, tw, stats)
	case s.Span() == 0 && s.Seq == tw.rcvNxt && !tw.outdated(s):
		stats.DropTimeWait.Add(1) // in order and empty: nothing to say
		return segment.Segment{}, false, false
	case s.Len == 0 && now.Sub(tw.answered) < invalidInterval:
		stats.WithheldACKs.Add(1) // RFC 5961 section 7, as in tcb.answerInvalid
		return segment.Segment{}, false, false
	default:
		tw.answered = now
		w.byFlow[f] = tw
	}
	reply = segment.Segment{Seq: tw.sndNxt, Ack: tw.rcvNxt, Flags: segment.ACK, Window: tw.window}
	if tw.timestamps {
		reply.Opts = segment.Options{HasTimestamps: true, TSVal: timestamp(now, tw.tsOffset), TSEcr: tw.tsRecent}
	}
	return reply, true, false
}

// repeatsFIN says whether s is the FIN again that brought TIME-WAIT, or one of
// text before it. Like any other segment it counts only when nothing is wrong
// with it: its acknowledgement is of all that we have sent, and its timestamp
// not older than what has been seen.
func (tw *timeWait) repeatsFIN(s *segment.Segment) bool {
	return s.Has(segment.FIN|segment.ACK) && !s.Has(segment.SYN) && s.End() == tw.rcvNxt && s.Ack == tw.sndNxt && !tw.outdated(s)
}

// outdated says that the timestamp of s is before TS.Recent (RFC 7323 section
// 5.3, R1).
func (tw *timeWait) outdated(s *segment.Segment) bool {
	return tw.timestamps && s.Opts.HasTimestamps && int32(s.Opts.TSVal-tw.tsRecent) < 0
}

// newer says whether the SYN s can only come from a new connection. The rules
// are those of RFC 6191 section 2:
//
//	timestamps
//	old  new   a new connection when
//	yes  yes   its timestamp is newer, or the same and its sequence number higher
//	yes  no    its sequence number is higher
//	no   yes   always: PAWS will drop what is left of the old one
//	no   no    its sequence number is higher
//
// Other SYNs are dropped; RFC 9293 section 3.10.7.4 has them acknowledged too,
// like any segment that is not acceptable, which tells an honest peer more.
func (tw *timeWait) newer(s *segment.Segment, cfg *Config) bool {
	switch timestamps := s.Opts.HasTimestamps && !cfg.NoTimestamps; {
	case timestamps && !tw.timestamps:
		return true
	case timestamps && s.Opts.TSVal != tw.tsRecent:
		return int32(s.Opts.TSVal-tw.tsRecent) > 0
	}
	return s.Seq.After(tw.rcvNxt)
}

// reusable says whether we may open a connection ourselves in the place of
// this one: when all that we send will have a newer timestamp than anything
// of the old connection, so that RFC 6191 section 2 lets it in, and PAWS keeps
// the rest of the old one out at both ends. Our clock ticks every millisecond,
// a peer's might only every second (RFC 7323 section 5.4).
func (tw *timeWait) reusable(now time.Time, cfg *Config) bool {
	heard := tw.until.Add(-2 * cfg.MSL) // or the end of the connection
	return tw.timestamps && now.Sub(heard) > time.Second
}

// reuse takes f out, for a new connection, and returns what it was; nil when
// it is not there.
func (w *timeWaits) reuse(f ip.Flow, stats *Stats) *timeWait {
	tw, ok := w.byFlow[f]
	if !ok {
		return nil
	}
	delete(w.byFlow, f)
	w.reused[f] = tw.until
	stats.TimeWaitsReused.Add(1)
	return &tw
}

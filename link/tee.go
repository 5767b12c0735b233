package link

import (
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// A Record is one frame that has passed a [Tee].
type Record struct {
	Link string    // the name of the link
	Sent bool      // by the owner of the link; otherwise received
	Time time.Time // of arrival, or of sending

	// Frame is the whole frame with its checksum complete. It is lent: valid
	// until the call returns, and not to be written to.
	Frame []byte

	// IP says that the frame is a datagram, without Ethernet (see [Link.IP]).
	IP bool

	// SegmentSize is 0, or for a train, which is recorded as one long frame,
	// the payload of each of its segments.
	SegmentSize int
}

// A Sink keeps the frames that pass one [Tee]. It is called from one
// goroutine at a time, on the path of the frames: while it works they wait.
type Sink interface {
	// Record takes one frame. After an error the sink is not called again.
	Record(r Record) error

	// Flush is called a second after a record at the latest, so that whoever
	// reads what the sink writes can follow it live, and when no more frames come.
	Flush() error
}

// flushTime is how long a record may wait to be flushed.
const flushTime = time.Second

// Tee records what passes l in both directions, in the order in which it
// passes; nothing is missed.
//
// A sink that returns an error is used no more, and failed is called with the
// error, unless it is nil; the frames pass on. The sinks are flushed before
// Rx is closed, so that the records are complete when the owner sees that.
func Tee(l Link, failed func(error), sinks ...Sink) Link {
	t := newTee(l, failed, sinks)
	go t.run()
	l.Tx, l.Rx = t.sent, t.passed
	return l
}

func newTee(l Link, failed func(error), sinks []Sink) *tee {
	t := &tee{
		link:   l,
		failed: failed,
		sinks:  append([]Sink(nil), sinks...),
		sent:   make(chan *packet.Buffer, QueueLen),
		passed: make(chan *packet.Buffer, QueueLen),
		timer:  time.NewTimer(flushTime),
	}
	t.timer.Stop()
	return t
}

type tee struct {
	link   Link // that is recorded
	failed func(error)
	sinks  []Sink // those that have not failed

	timer     *time.Timer // of the next flush, running while there is something to flush
	unflushed bool

	sent, passed chan *packet.Buffer // the channels of the owner
}

// run passes frames on. It is one goroutine, so that an answer is recorded
// behind its question.
//
// Owns: the sinks, t.passed and t.link.Tx, and closes these two.
// Reads: t.sent, t.link.Rx, its timer.
// Writes: t.link.Tx, t.passed, the sinks.
// Blocks on: t.sent and t.link.Rx, t.link.Tx, the sinks; never on t.passed
// while t.sent has frames, as a card drains its Tx.
func (t *tee) run() {
	sent, arrived := t.sent, t.link.Rx
	var next *packet.Buffer // received, and not yet passed
	defer t.timer.Stop()
	for sent != nil || arrived != nil {
		from, to := arrived, t.passed
		if next == nil {
			to = nil
		} else {
			from = nil
		}
		select {
		case b, ok := <-sent:
			if !ok {
				close(t.link.Tx)
				sent = nil
				continue
			}
			t.record(b, true, time.Now())
			t.link.Tx <- b
		case b, ok := <-from:
			if !ok {
				t.flush()
				t.sinks = nil
				close(t.passed)
				arrived = nil
				continue
			}
			t.record(b, false, b.Arrived)
			next = b
		case to <- next:
			next = nil
		case <-t.timer.C:
			t.flush()
		}
	}
}

// record shows b to the sinks.
func (t *tee) record(b *packet.Buffer, sent bool, now time.Time) {
	if len(t.sinks) == 0 {
		return
	}
	r := Record{Link: t.link.Name, Sent: sent, Time: now, Frame: b.Bytes(), IP: t.link.IP, SegmentSize: b.SegmentSize}
	if b.Checksum == packet.ChecksumPartial || b.SegmentSize > 0 {
		c := b.Clone()
		defer c.Release()
		completeCopy(c, t.link.headerLen())
		r.Frame = c.Bytes()
	}
	t.each(func(s Sink) error { return s.Record(r) })
	if !t.unflushed {
		t.unflushed = true
		t.timer.Reset(flushTime)
	}
}

// flush has the sinks write out what they have recorded.
func (t *tee) flush() {
	t.each(Sink.Flush)
	t.unflushed = false
}

// each calls do for each sink, and gives up those that fail.
func (t *tee) each(do func(Sink) error) {
	kept := t.sinks[:0]
	for _, s := range t.sinks {
		err := do(s)
		if err == nil {
			kept = append(kept, s)
		} else if t.failed != nil {
			t.failed(err)
		}
	}
	clear(t.sinks[len(kept):])
	t.sinks = kept
}

// completeCopy completes the checksum of a frame, and that of a train as if
// it were one long segment. A frame that does not parse stays as it is.
func completeCopy(b *packet.Buffer, header int) {
	if b.SegmentSize == 0 {
		if partialFits(b) {
			b.CompleteChecksum()
		}
		return
	}
	if at, ok := parseTCP(b.Bytes(), header); ok {
		putTCPChecksum(b.Bytes(), at)
	}
}

package link

import (
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// Impairment is what one direction of a link does to its frames. The zero
// value does nothing.
//
// A frame waits in a queue, is sent at Rate, may then be lost, corrupted,
// duplicated, and arrives after Delay. So a frame that is lost has taken its
// time on the line, and the queue holds no frame that is already under way.
type Impairment struct {
	// Rate is in bit/s, of the frames as they are in a packet.Buffer: with
	// the Ethernet header, without preamble, check sequence and gap. 0 means
	// no limit.
	Rate int64

	// Queue is how many frames wait for the line while it sends another, when
	// there is a Rate; the next is dropped. 0 means DefaultQueue, and less
	// than 0 that none waits.
	Queue int

	// QueueBytes bounds the queue in bytes, too. 0 means that it does not.
	QueueBytes int

	// Manager drops or marks frames before the queue is full. Nil means that
	// nothing does.
	Manager Manager

	// Queueing counts what the queue does; it may be nil.
	Queueing *Queueing

	// Delay is from the last bit sent to the arrival.
	Delay time.Duration

	// Jitter varies the delay evenly from Delay-Jitter to Delay+Jitter. It
	// does not reorder: a frame that would overtake another, which only
	// Reorder allows, waits for it. So where frames follow each other faster
	// than Jitter they bunch, and the mean delay grows.
	Jitter time.Duration

	// Probabilities, each for one frame: to be lost; to arrive twice; to
	// arrive ReorderDelay late, so that others overtake it; to arrive with one
	// bit of its IP datagram flipped, which a checksum detects.
	Loss, Duplicate, Reorder, Corrupt float64

	// Losses loses frames beside Loss: GilbertElliott or Outages. Nil means
	// that nothing does.
	Losses LossModel

	// ReorderDelay is how much later a reordered frame arrives. 0 means
	// DefaultReorderDelay.
	ReorderDelay time.Duration

	// Seed is that of the random numbers. With the same seed, the same frames at
	// the same instants are lost, delayed and changed in the same way. The two
	// directions of one link differ under the same seed.
	Seed uint64

	// Cycle and Phase keep the frames of many links apart: a frame arrives at
	// instants only that are Phase more than a multiple of Cycle, since 1970.
	// With a Phase of its own for each direction of each link, no two frames of
	// a network arrive at the same instant. A Cycle of 0 means any instant.
	Cycle, Phase time.Duration

	// Watcher, if not nil, sees the frames.
	Watcher Watcher
}

// A Watcher sees the frames of one direction of an impaired link. It is called
// from one goroutine, on the path of the frames, and never outlives the link.
// The frame is lent, and not to be written to.
type Watcher interface {
	Enters(now time.Time, frame []byte)  // before it is queued
	Arrives(now time.Time, frame []byte) // if it does, once for each copy
}

// Defaults of Impairment.
const (
	DefaultQueue        = 1000
	DefaultReorderDelay = time.Millisecond
)

// Impair makes a wire of l, with c in each direction. Trains are cut first,
// and all checksums are completed and count as not verified: so each frame is lost or
// changed by itself, and a flipped bit is detected. No two frames of one
// direction leave at the same instant.
//
// A frame is Arrived when it leaves the wire. When the owner has closed Tx,
// the frames under way still arrive before l is closed; when the device has
// gone, those that it had received still arrive before Rx is closed, and those
// that were sent are dropped.
func Impair(l Link, c Impairment) Link { return ImpairEach(l, c, c) }

// ImpairEach is [Impair] with an impairment of its own for what l sends and
// for what it receives.
func ImpairEach(l Link, tx, rx Impairment) Link {
	sent := make(chan *packet.Buffer, QueueLen)
	received := make(chan *packet.Buffer, QueueLen)
	carrier := make(chan struct{})
	go impair(sent, l.Tx, newImpairer(tx, 0, l.headerLen(), l.Stats), nil, carrier)
	go impair(l.Rx, received, newImpairer(rx, 1, l.headerLen(), l.Stats), carrier, nil)
	l.Tx, l.Rx = sent, received
	return l
}

// Middleware is Impair with c.
func (c Impairment) Middleware() Middleware {
	return func(l Link) Link { return Impair(l, c) }
}

// impair is the process around an impairer. A consumer that is late holds it
// up, and with it the producer; nothing is dropped but by the impairer.
//
// It closes gone when its in is closed. When lost is closed, the wire has been
// pulled out: it drops what it holds at once, rather than wait for its time to
// pass after the owner has seen the end. Either may be nil. A process with gone
// brings frames to the owner of a card, and marks them as Arrived.
//
// Owns: m, and out, which it closes when in is closed and m is empty.
// Reads: in, lost.
// Writes: out, gone.
// Blocks on: in, the timer and lost, or out.
func impair(in <-chan *packet.Buffer, out chan<- *packet.Buffer, m *impairer, gone chan<- struct{}, lost <-chan struct{}) {
	start := time.Now()
	m.epoch = start.UnixNano()
	watcher := m.cfg.Watcher
	timer := time.NewTimer(0)
	defer timer.Stop()
	armed := time.Duration(-1) // the instant the timer is set to

	enter := func(b *packet.Buffer) {
		b.Checksum = packet.ChecksumComplete // also if verified: that was before this wire
		now := time.Since(start)
		if watcher != nil {
			watcher.Enters(start.Add(now), b.Bytes())
		}
		m.add(now, b)
	}
	for {
		now := time.Since(start)
		if b := m.due(now); b != nil {
			if gone != nil {
				b.Arrived = start.Add(now)
			}
			if watcher != nil {
				watcher.Arrives(start.Add(now), b.Bytes())
			}
			out <- b
			continue
		}
		var wake <-chan time.Time
		if at, ok := m.deadline(); ok {
			if at != armed {
				timer.Reset(at - now)
				armed = at
			}
			wake = timer.C
		} else if in == nil {
			close(out)
			return
		}
		select {
		case b, ok := <-in:
			if ok {
				if !cut(b, m.header, enter) {
					m.stats.DropMalformed.Add(1)
				}
				continue
			}
			in = nil
			if gone != nil {
				close(gone)
			}
		case <-wake:
			armed = -1
		case <-lost:
			m.discard()
			close(out)
			if in != nil {
				discard(in, m.stats)
			}
			return
		}
	}
}

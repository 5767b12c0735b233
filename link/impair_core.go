package link

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// An impairer is one direction of an impaired link. It is a machine: frames
// and the time go in, and frames that are due come out. Instants are counted
// from any fixed moment.
//
//	add ──> line: queue, rate ──> sent: loss, corruption ──> flight: delay ──> due
type impairer struct {
	cfg    Impairment
	header int // bytes of the link layer in front of each datagram
	random *rand.Rand
	lost   func(sent time.Duration) bool
	line   *line // nil: infinitely fast
	flight flight
	order  time.Duration // a frame in order arrives no sooner
	left   time.Duration // when the last frame was due
	epoch  int64         // the instant 0, in ns since 1970
	stats  *Stats
	card   *card // nil: the link has one of its own
}

// maxFlight bounds how many frames are delayed at a time: 10 Gbit/s for 75 ms.
const maxFlight = 1 << 16

// newImpairer returns the machine for c. Stream tells directions apart that
// have the same seed, and header is how long the header of the link layer is.
func newImpairer(c Impairment, stream uint64, header int, stats *Stats) *impairer {
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.ReorderDelay == 0 {
		c.ReorderDelay = DefaultReorderDelay
	}
	m := &impairer{cfg: c, header: header, random: rand.New(rand.NewPCG(c.Seed, stream)), left: -1, stats: stats}
	m.lost = func(time.Duration) bool { return false }
	const forLosses, forQueue = 1 << 32, 1 << 33 // streams of their own
	if c.Losses != nil {
		m.lost = c.Losses.model(rand.New(rand.NewPCG(c.Seed, stream|forLosses)))
	}
	if c.Rate > 0 {
		m.line = newLine(&c, header, rand.New(rand.NewPCG(c.Seed, stream|forQueue)), stats)
	}
	return m
}

// add takes a frame as it enters the wire. The frame is whole and no train.
func (m *impairer) add(now time.Duration, b *packet.Buffer) {
	if !m.card.takes(b.Len()) {
		b.Release()
		return
	}
	if m.line == nil {
		m.sent(now, b)
		return
	}
	m.advance(now)
	m.line.take(now, b)
	m.advance(now)
}

// advance sends what the line sends up to now.
func (m *impairer) advance(now time.Duration) {
	if m.line == nil {
		return
	}
	for at, b := m.line.next(now); b != nil; at, b = m.line.next(now) {
		m.sent(at, b)
	}
}

// sent decides on a frame whose last bit is sent at the instant at.
func (m *impairer) sent(at time.Duration, b *packet.Buffer) {
	if m.flight.len() >= maxFlight {
		m.drop(b, &m.stats.DropQueueFull)
		return
	}
	if m.chance(m.cfg.Loss) || m.lost(at) {
		m.drop(b, &m.stats.DropImpaired)
		return
	}
	if m.chance(m.cfg.Corrupt) {
		if b = b.Own(); flipBit(b.Bytes(), m.header, m.random) {
			m.stats.Corrupted.Add(1)
		}
	}
	at = m.arrival(at)
	var twin *packet.Buffer
	if m.chance(m.cfg.Duplicate) {
		twin = b.Clone()
		m.stats.Duplicated.Add(1)
	}
	m.flight.push(at, b)
	if twin != nil {
		m.flight.push(at, twin)
	}
}

// arrival is when a frame arrives whose last bit is sent at the instant sent.
func (m *impairer) arrival(sent time.Duration) time.Duration {
	delay := m.cfg.Delay
	if j := m.cfg.Jitter; j > 0 {
		delay += time.Duration(m.random.Int64N(2*int64(j)+1)) - j
	}
	at := max(sent+max(delay, 0), m.order)
	if m.chance(m.cfg.Reorder) {
		m.stats.Reordered.Add(1)
		return at + m.cfg.ReorderDelay
	}
	m.order = at
	return at
}

// deadline is the instant at which due is to be asked for the next frame;
// false when there is none. The frames that wait for the line need not be
// looked at before the first of them can arrive.
func (m *impairer) deadline() (time.Duration, bool) {
	queued := m.line != nil && m.line.queue.len() > 0
	var early time.Duration
	if queued {
		early = max(m.line.start()+max(0, m.cfg.Delay-m.cfg.Jitter), m.left+1)
	}
	if m.flight.len() == 0 {
		return early, queued
	}
	at := m.instant()
	if queued {
		at = min(at, early)
	}
	return at, true
}

// instant is when the first frame of the flight is due. No two frames are due
// at the same instant, for the order of two events at one instant is chance,
// and runs would not repeat.
func (m *impairer) instant() time.Duration {
	at := max(m.flight.frames[0].at, m.left+1)
	if c := int64(m.cfg.Cycle); c > 0 {
		at += time.Duration(((int64(m.cfg.Phase)-m.epoch-int64(at))%c + c) % c)
	}
	return at
}

// due returns the next frame if it is due, or nil.
func (m *impairer) due(now time.Duration) *packet.Buffer {
	m.advance(now)
	if m.flight.len() == 0 {
		return nil
	}
	at := m.instant()
	if at > now {
		return nil
	}
	m.left = at
	b := m.flight.pop()
	m.card.gives(b.Len())
	return b
}

// discard drops all frames that have been added.
func (m *impairer) discard() {
	for m.line != nil && m.line.queue.len() > 0 {
		m.drop(m.line.queue.pop().b, &m.stats.DropClosed)
	}
	for m.flight.len() > 0 {
		m.drop(m.flight.pop(), &m.stats.DropClosed)
	}
}

// chance is true with probability p. Probabilities of 0 take no random number.
func (m *impairer) chance(p float64) bool { return p > 0 && m.random.Float64() < p }

func (m *impairer) drop(b *packet.Buffer, reason *atomic.Uint64) {
	reason.Add(1)
	b.Release()
}

// flipBit flips one bit of an IPv4 datagram, so that a checksum of IP or of
// the transport tells. It leaves other frames alone, and the Ethernet header:
// those only the frame check sequence protects, which our frames do not have.
func flipBit(frame []byte, header int, random *rand.Rand) bool {
	datagram := datagram(frame, header)
	if datagram == nil {
		return false
	}
	n := min(len(datagram), int(binary.BigEndian.Uint16(datagram[2:]))) // not the padding
	if n < minIPLen {
		return false
	}
	bit := random.IntN(n * 8)
	datagram[bit/8] ^= 1 << (bit % 8)
	return true
}

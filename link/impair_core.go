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
//	add ──> line: queue, rate ──> loss, corruption ──> flight: delay ──> due
type impairer struct {
	cfg    Impairment
	random *rand.Rand
	lost   func() bool
	line   line
	flight flight
	order  time.Duration // a frame in order arrives no sooner
	left   time.Duration // when the last frame was due
	stats  *Stats
}

// maxFlight bounds how many frames are delayed at a time: 10 Gbit/s for 75 ms.
const maxFlight = 1 << 16

// newImpairer returns the machine for c. Stream tells directions apart that
// have the same seed.
func newImpairer(c Impairment, stream uint64, stats *Stats) *impairer {
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.ReorderDelay == 0 {
		c.ReorderDelay = DefaultReorderDelay
	}
	m := &impairer{cfg: c, random: rand.New(rand.NewPCG(c.Seed, stream)), left: -1, stats: stats}
	m.lost = m.uniformLoss
	if c.Rate > 0 {
		m.line = line{rate: c.Rate, starts: make([]time.Duration, max(c.Queue, 0))}
	}
	return m
}

// uniformLoss loses each frame with the same probability. A loss model is a
// method like it; one that has a state keeps it in a struct of its own, and
// newImpairer chooses.
func (m *impairer) uniformLoss() bool { return m.chance(m.cfg.Loss) }

// add takes a frame as it enters the wire. The frame is whole and no train.
func (m *impairer) add(now time.Duration, b *packet.Buffer) {
	if m.flight.len() >= maxFlight {
		m.drop(b, &m.stats.DropQueueFull)
		return
	}
	at, ok := m.line.take(now, b.Len())
	switch {
	case !ok:
		m.drop(b, &m.stats.DropQueueFull)
		return
	case m.lost():
		m.drop(b, &m.stats.DropImpaired)
		return
	}
	if m.chance(m.cfg.Corrupt) && flipBit(b.Bytes(), m.random) {
		m.stats.Corrupted.Add(1)
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

// deadline is the instant at which the next frame is due; false when there is
// none. No two frames are due at the same instant, for the order of two events
// at one instant is chance, and runs would not repeat.
func (m *impairer) deadline() (time.Duration, bool) {
	if m.flight.len() == 0 {
		return 0, false
	}
	return max(m.flight.frames[0].at, m.left+1), true
}

// due returns the next frame if it is due, or nil.
func (m *impairer) due(now time.Duration) *packet.Buffer {
	at, ok := m.deadline()
	if !ok || at > now {
		return nil
	}
	m.left = at
	return m.flight.pop()
}

// discard drops all frames that have been added.
func (m *impairer) discard() {
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
func flipBit(frame []byte, random *rand.Rand) bool {
	if len(frame) < headerLen+minIPLen || binary.BigEndian.Uint16(frame[12:]) != typeIPv4 {
		return false
	}
	datagram := frame[headerLen:]
	n := min(len(datagram), int(binary.BigEndian.Uint16(datagram[2:]))) // not the padding
	if n < minIPLen {
		return false
	}
	bit := random.IntN(n * 8)
	datagram[bit/8] ^= 1 << (bit % 8)
	return true
}

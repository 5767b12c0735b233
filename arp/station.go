package arp

import (
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// A Station is Resolver for a program that calls the layers itself, in one
// loop: the same machine without goroutine, channel and clock. It has one
// caller at a time.
type Station struct {
	m    *machine
	card func(*packet.Buffer)
}

// NewStation returns a Station that has begun to claim its addresses. It calls
// card with each frame for the card, and card takes it.
func NewStation(now time.Time, cfg Config, card func(*packet.Buffer), stats *Stats) *Station {
	s := &Station{newMachine(cfg, stats), card}
	s.m.claim.start(now)
	s.flush()
	return s
}

// Send brings an IP datagram to its NextHop, for which it may have to wait. It
// takes b, and drops it when the next hop does not answer.
func (s *Station) Send(now time.Time, b *packet.Buffer) {
	if s.m.ready(b) {
		s.card(b)
		return
	}
	s.m.send(now, b)
	s.flush()
}

// Receive takes an ARP packet.
func (s *Station) Receive(now time.Time, b *packet.Buffer) {
	s.m.receive(now, b.Bytes())
	b.Release()
	s.flush()
}

// Deadline is when Expire has something to do; zero for never.
func (s *Station) Deadline() time.Time { return s.m.deadline() }

// Expire does what is due at now.
func (s *Station) Expire(now time.Time) {
	s.m.expire(now)
	s.flush()
}

// Close drops what waits.
func (s *Station) Close() { s.m.cache.close() }

// flush sends what the machine wants sent. There is nobody to be told of what
// could not be delivered.
func (s *Station) flush() {
	for _, b := range s.m.frames {
		s.card(b)
	}
	for _, b := range s.m.failed {
		s.m.stats.DropUndeliverable.Add(1)
		b.Release()
	}
	s.m.empty()
}

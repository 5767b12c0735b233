package arp

import (
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/packet"
)

// machine is all of ARP but the goroutine: the cache, the claim on the own
// addresses, and the rules for packets received. Its output is the outbox.
type machine struct {
	outbox
	claim *claim
	cache *cache
}

func newMachine(cfg Config, stats *Stats) *machine {
	m := &machine{outbox: outbox{mac: cfg.MAC, stats: stats}}
	m.claim = newClaim(cfg, &m.outbox)
	m.cache = newCache(cfg, m.claim.source, &m.outbox)
	return m
}

// ready makes a frame of a datagram that can be sent at once. When it returns
// false it has not touched the datagram, which is then for send.
func (m *machine) ready(b *packet.Buffer) bool {
	if b.Group || m.claim.tentative() {
		return false
	}
	to, ok := m.cache.lookup(b.NextHop)
	if ok {
		frame(b, to, m.mac, m.stats)
	}
	return ok
}

// send takes a datagram that is not ready.
func (m *machine) send(now time.Time, b *packet.Buffer) {
	switch {
	case m.claim.tentative():
		m.fail(b)
	case b.Group && b.NextHop.IsMulticast():
		m.datagram(b, ethernet.Multicast(b.NextHop))
	case b.Group:
		m.datagram(b, ethernet.Broadcast)
	default:
		m.cache.resolve(now, b)
	}
}

// receive takes the bytes of an ARP packet, by RFC 826, "Packet Reception",
// with what RFC 5227 adds: conflicts come first.
func (m *machine) receive(now time.Time, bytes []byte) {
	p, err := Parse(bytes)
	switch {
	case err == ErrSender:
		m.stats.DropSender.Add(1)
		return
	case err != nil:
		m.stats.DropMalformed.Add(1)
		return
	case p.Op == OpRequest:
		m.stats.RxRequests.Add(1)
	default:
		m.stats.RxReplies.Add(1)
	}
	if p.SenderMAC == m.mac || m.claim.conflict(now, p) || m.claim.tentative() {
		return
	}
	// An address that is known is refreshed by any packet of its owner, and one
	// that is not known is learned only from a packet for us, whose sender is
	// about to talk to us.
	forUs := m.claim.has(p.TargetIP)
	if !p.SenderIP.IsUnspecified() {
		m.cache.learn(now, p.SenderIP, p.SenderMAC, forUs)
	}
	if forUs && p.Op == OpRequest {
		m.stats.TxReplies.Add(1)
		m.arp(OpReply, p.TargetIP, p.SenderMAC, p.SenderMAC, p.SenderIP)
	}
}

// deadline is the earliest instant at which expire may have something to do;
// zero when there is none.
func (m *machine) deadline() time.Time {
	a, b := m.claim.deadline(), m.cache.deadline()
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// expire does what is due at now.
func (m *machine) expire(now time.Time) {
	m.claim.expire(now)
	m.cache.expire(now)
}

package arp

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
)

// Constants of RFC 5227 section 1.1.
const (
	probeWait         = time.Second // at most, before the first probe
	probeNum          = 3
	probeMin          = time.Second // between probes
	probeMax          = 2 * time.Second
	announceWait      = 2 * time.Second // after the last probe
	announceNum       = 2
	announceInterval  = 2 * time.Second
	rateLimitInterval = time.Minute      // before a fresh attempt after a conflict
	defendInterval    = 10 * time.Second // at least, between defences of one address
)

// claim is the host's claim on its own addresses: it probes for them if so
// configured, announces them, and defends them (RFC 5227 sections 2.1 to 2.4).
// It is a machine of (now, event) -> state, like the cache. All addresses of a
// link are claimed together.
//
// A host that is told its addresses has none to turn to when it meets a
// conflict. So it tries the same ones again after rateLimitInterval when it
// was probing, and defends them for ever, which section 2.4 (c) allows, once
// they are in use.
type claim struct {
	addrs    []netip.Addr
	random   func() uint64
	probing  bool
	sent     int         // probes or announcements
	next     time.Time   // when expire has something to do; zero for never
	defended []time.Time // by index of addrs
	out      *outbox
}

func newClaim(cfg Config, out *outbox) *claim {
	return &claim{
		addrs:    slices.Clone(cfg.Addrs),
		random:   cfg.Random,
		probing:  cfg.Probe,
		defended: make([]time.Time, len(cfg.Addrs)),
		out:      out,
	}
}

// start begins with probes or announcements.
func (c *claim) start(now time.Time) {
	if c.next = now; c.probing {
		c.next = now.Add(c.uniform(0, probeWait))
	}
	c.expire(now)
}

// tentative says that the addresses may not be used yet.
func (c *claim) tentative() bool { return c.probing }

// has says whether a is an own address.
func (c *claim) has(a netip.Addr) bool { return slices.Contains(c.addrs, a) }

// source is the own address that asks for target: the one that shares the
// longest prefix with it, and so the one on its network if any is.
func (c *claim) source(target netip.Addr) netip.Addr {
	best, most := netip.IPv4Unspecified(), -1
	for _, a := range c.addrs {
		if n := commonBits(a, target); n > most {
			best, most = a, n
		}
	}
	return best
}

// deadline is when expire has something to do; zero for never.
func (c *claim) deadline() time.Time { return c.next }

// expire does what is due at now.
func (c *claim) expire(now time.Time) {
	if c.next.IsZero() || now.Before(c.next) {
		return
	}
	if c.probing && c.sent == probeNum {
		c.probing, c.sent = false, 0 // nobody minded
	}
	c.sent++
	if c.probing {
		for _, a := range c.addrs {
			c.out.stats.TxProbes.Add(1)
			c.out.arp(OpRequest, netip.IPv4Unspecified(), ethernet.Broadcast, ethernet.Addr{}, a)
		}
		c.next = now.Add(announceWait)
		if c.sent < probeNum {
			c.next = now.Add(c.uniform(probeMin, probeMax))
		}
		return
	}
	for _, a := range c.addrs {
		c.announce(a)
	}
	c.next = now.Add(announceInterval)
	if c.sent == announceNum {
		c.next = time.Time{}
	}
}

// conflict takes a packet of another station, and says whether it is at odds
// with the claim, and was dealt with.
func (c *claim) conflict(now time.Time, p Packet) bool {
	i := slices.Index(c.addrs, p.SenderIP)
	if i < 0 && c.probing && p.IsProbe() {
		i = slices.Index(c.addrs, p.TargetIP) // section 2.1.1: somebody else is about to claim it
	}
	if i < 0 {
		return false
	}
	c.out.stats.Conflicts.Add(1)
	switch {
	case c.probing:
		c.sent = 0
		c.next = now.Add(rateLimitInterval)
	case c.defended[i].IsZero() || now.Sub(c.defended[i]) >= defendInterval:
		c.defended[i] = now
		c.announce(c.addrs[i])
	}
	return true
}

// announce tells all stations that a is ours (section 2.3).
func (c *claim) announce(a netip.Addr) {
	c.out.stats.TxAnnouncements.Add(1)
	c.out.arp(OpRequest, a, ethernet.Broadcast, ethernet.Addr{}, a)
}

// uniform is a random duration between lo and hi.
func (c *claim) uniform(lo, hi time.Duration) time.Duration {
	if c.random == nil {
		return lo
	}
	return lo + time.Duration(c.random()%uint64(hi-lo))
}

// commonBits is the length of the longest prefix that two addresses share.
func commonBits(a, b netip.Addr) int {
	x, y := a.As4(), b.As4()
	return bits.LeadingZeros32(binary.BigEndian.Uint32(x[:]) ^ binary.BigEndian.Uint32(y[:]))
}

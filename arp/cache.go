package arp

import (
	"net/netip"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/packet"
)

// Bounds of the cache.
const (
	requestInterval = time.Second     // at least, for one address (RFC 1122 section 2.3.2.1)
	maxRequests     = 3               // without an answer, before a neighbour counts as dead
	maxPolls        = 2               // N of RFC 1122 section 2.3.2.1 (2)
	holdDown        = 5 * time.Second // for which a dead neighbour is not asked again
	defaultTimeout  = time.Minute     // RFC 1122 section 2.3.2.1: on the order of a minute
	defaultEntries  = 1024
	maxQueue        = 8   // datagrams that wait for one address
	maxQueued       = 256 // datagrams that wait for all addresses together
	maxLooked       = 64  // entries that are looked at for one to be forgotten
)

// state is how far an entry has come.
//
//	            answer                  timeout, in use
//	incomplete ───────▶ reachable ◀───────────────────────▶ polling
//	    │                ▲   │               answer            │
//	    │ no answer      │   │ timeout, not in use             │ no answer
//	    ▼   news of it   │   ▼                                 ▼
//	  failed ────────────┘  forgotten ◀────────────────────────┘
//	    └── hold-down over ──▲
type state uint8

const (
	incomplete state = iota // asked by broadcast; datagrams wait
	reachable               // heard of within the timeout
	polling                 // asked by unicast, and still believed
	failed                  // did not answer; datagrams are undeliverable for a while
	static                  // configured
)

var stateNames = [...]string{"incomplete", "reachable", "polling", "failed", "static"}

// entry is what is known of one neighbour.
type entry struct {
	addr     netip.Addr
	mac      ethernet.Addr
	state    state
	gateway  bool
	used     bool             // a datagram was sent to it since the last news of it
	requests int              // sent in this state
	asked    time.Time        // of the last request
	heard    time.Time        // of the last packet from it; zero for none
	deadline time.Time        // when expire has something to do with it
	queue    []*packet.Buffer // of an incomplete entry, oldest first
	index    int              // in cache.entries
}

// cache is the table of neighbours: a machine of (now, event) -> state. What
// it wants sent goes to out.
type cache struct {
	timeout    time.Duration
	maxEntries int
	source     func(target netip.Addr) netip.Addr // which own address asks for target

	gateways []netip.Addr

	byAddr  map[netip.Addr]*entry
	entries []*entry // all but the static ones
	routed  int      // entries of gateways
	hand    int      // where the search for one to be forgotten goes on
	queued  int      // datagrams in all queues but those of gateways
	next    time.Time
	out     *outbox
}

func newCache(cfg Config, source func(netip.Addr) netip.Addr, out *outbox) *cache {
	c := &cache{
		timeout:    cfg.Timeout,
		maxEntries: cfg.MaxEntries,
		source:     source,
		gateways:   cfg.Gateways,
		byAddr:     make(map[netip.Addr]*entry),
		out:        out,
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	c.timeout = max(c.timeout, requestInterval)
	if c.maxEntries <= 0 {
		c.maxEntries = defaultEntries
	}
	for addr, mac := range cfg.Static {
		c.byAddr[addr] = &entry{addr: addr, mac: mac, state: static}
	}
	return c
}

// lookup returns the address of a neighbour to send to; false when that takes
// a call of resolve. It is the hot path, and needs no clock.
func (c *cache) lookup(addr netip.Addr) (ethernet.Addr, bool) {
	e := c.byAddr[addr]
	if e == nil || e.state == incomplete || e.state == failed {
		return ethernet.Addr{}, false
	}
	e.used = true
	return e.mac, true
}

// resolve takes a datagram whose next hop lookup does not know: it waits until
// the neighbour answers or is given up (RFC 1122 section 2.3.2.2), and only
// then is undeliverable (section 2.4).
func (c *cache) resolve(now time.Time, b *packet.Buffer) {
	e := c.byAddr[b.NextHop]
	if e == nil {
		if e = c.add(now, b.NextHop); e == nil {
			c.out.stats.DropCacheFull.Add(1)
			b.Release()
			return
		}
		c.request(now, e, ethernet.Broadcast)
	}
	if e.state == failed {
		c.out.fail(b)
		return
	}
	c.enqueue(e, b)
}

// learn takes the news that addr belongs to mac. An address that is not in the
// cache is entered only when create says so.
func (c *cache) learn(now time.Time, addr netip.Addr, mac ethernet.Addr, create bool) {
	e := c.byAddr[addr]
	if e == nil && create {
		e = c.add(now, addr)
	}
	if e == nil || e.state == static {
		return
	}
	if e.mac != mac && e.mac != (ethernet.Addr{}) {
		c.out.stats.Changed.Add(1)
	}
	e.mac, e.heard = mac, now
	e.used = len(e.queue) > 0
	c.enter(e, reachable, now.Add(c.timeout))
	for _, b := range c.takeQueue(e) {
		c.out.datagram(b, mac)
	}
}

// deadline is the earliest instant at which expire may have something to do;
// zero when there is none.
func (c *cache) deadline() time.Time { return c.next }

// expire does what is due at now.
func (c *cache) expire(now time.Time) {
	if c.next.IsZero() || now.Before(c.next) {
		return
	}
	c.next = time.Time{}
	for i := len(c.entries) - 1; i >= 0; i-- { // downwards, since remove moves the last one into the gap
		e := c.entries[i]
		if now.Before(e.deadline) {
			c.wake(e.deadline)
			continue
		}
		c.age(now, e)
	}
}

// age moves on an entry whose deadline has come.
func (c *cache) age(now time.Time, e *entry) {
	switch {
	case e.state == incomplete && e.requests < maxRequests:
		c.request(now, e, ethernet.Broadcast)
	case e.state == incomplete:
		c.enter(e, failed, now.Add(holdDown))
		for _, b := range c.takeQueue(e) {
			c.out.fail(b)
		}
	case e.state == reachable && e.used:
		c.enter(e, polling, now)
		c.request(now, e, e.mac)
	case e.state == polling && e.requests < maxPolls:
		c.request(now, e, e.mac)
	default:
		c.remove(e)
	}
}

// close drops what waits.
func (c *cache) close() {
	for _, e := range c.entries {
		for _, b := range c.takeQueue(e) {
			c.out.stats.DropClosed.Add(1)
			b.Release()
		}
	}
}

// snapshot lists all entries, in no order.
func (c *cache) snapshot(now time.Time) []Neighbour {
	list := make([]Neighbour, 0, len(c.byAddr))
	for _, e := range c.byAddr {
		n := Neighbour{Addr: e.addr, State: stateNames[e.state]}
		if e.state != incomplete && e.state != failed {
			n.MAC = e.mac
		}
		if !e.heard.IsZero() {
			n.Age = now.Sub(e.heard)
		}
		list = append(list, n)
	}
	return list
}

// request asks for the address of e, and sees to it that the next request
// follows no sooner than requestInterval.
func (c *cache) request(now time.Time, e *entry, to ethernet.Addr) {
	c.out.stats.TxRequests.Add(1)
	target := to
	if to == ethernet.Broadcast {
		target = ethernet.Addr{} // that is what is asked for
	}
	c.out.arp(OpRequest, c.source(e.addr), to, target, e.addr)
	e.requests++
	e.asked = now
	e.deadline = now.Add(requestInterval)
	c.wake(e.deadline)
}

// enter puts e in another state until deadline.
func (c *cache) enter(e *entry, s state, deadline time.Time) {
	e.state, e.requests, e.deadline = s, 0, deadline
	c.wake(deadline)
}

// wake makes expire run at t, if not sooner.
func (c *cache) wake(t time.Time) {
	if c.next.IsZero() || t.Before(c.next) {
		c.next = t
	}
}

// enqueue lets b wait for the address of e. When there is no room, an older
// datagram gives way: RFC 1122 section 2.3.2.2 wants the latest saved.
func (c *cache) enqueue(e *entry, b *packet.Buffer) {
	if len(e.queue) == maxQueue {
		c.dropOldest(e)
	} else if !e.gateway && c.queued == maxQueued {
		c.dropOldest(c.longest())
	}
	e.queue = append(e.queue, b)
	c.count(e, 1)
}

// longest is the entry with the longest queue, gateways left alone.
func (c *cache) longest() (longest *entry) {
	for _, e := range c.entries {
		if !e.gateway && (longest == nil || len(e.queue) > len(longest.queue)) {
			longest = e
		}
	}
	return longest
}

func (c *cache) dropOldest(e *entry) {
	c.out.stats.DropQueueFull.Add(1)
	e.queue[0].Release()
	e.queue = append(e.queue[:0], e.queue[1:]...)
	c.count(e, -1)
}

// count notes that so many more datagrams wait for e.
func (c *cache) count(e *entry, n int) {
	if !e.gateway {
		c.queued += n
	}
}

// takeQueue empties the queue of e.
func (c *cache) takeQueue(e *entry) []*packet.Buffer {
	queue := e.queue
	e.queue = nil
	c.count(e, -len(queue))
	return queue
}

// add enters an incomplete entry for addr; nil when the cache is full and
// nothing can be evicted.
func (c *cache) add(now time.Time, addr netip.Addr) *entry {
	e := &entry{addr: addr, gateway: slices.Contains(c.gateways, addr)}
	if !e.gateway && len(c.entries)-c.routed >= c.maxEntries {
		victim := c.victim(now)
		if victim == nil {
			return nil
		}
		c.remove(victim)
	}
	if e.gateway {
		c.routed++
	}
	e.index = len(c.entries)
	c.entries = append(c.entries, e)
	c.byAddr[addr] = e
	return e
}

// victim is the entry that would be missed least: the one with the earliest
// deadline of those that failed, or else of those that are not in use. One
// that is being asked for is spared, and so is one asked for a moment ago:
// asking for it again would break the limit on the rate of requests. In a large
// cache only some are looked at each time, or a station that says many names would
// have the whole cache searched for each.
func (c *cache) victim(now time.Time) *entry {
	var victim *entry
	for range min(len(c.entries), maxLooked) {
		c.hand = (c.hand + 1) % len(c.entries)
		e := c.entries[c.hand]
		idle := e.state == failed || e.state == reachable && !e.used
		if !idle || e.gateway || now.Sub(e.asked) < requestInterval {
			continue
		}
		if victim == nil || e.state == failed && victim.state != failed ||
			e.state == victim.state && e.deadline.Before(victim.deadline) {
			victim = e
		}
	}
	return victim
}

// remove forgets an entry, whose queue is empty.
func (c *cache) remove(e *entry) {
	last := c.entries[len(c.entries)-1]
	c.entries[e.index] = last
	last.index = e.index
	c.entries = c.entries[:len(c.entries)-1]
	if e.gateway {
		c.routed--
	}
	delete(c.byAddr, e.addr)
}

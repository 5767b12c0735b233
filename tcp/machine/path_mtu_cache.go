package machine

import (
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/internal/red"
	"github.com/seed-012105e5/gonet/internal/ring"
)

// pathMTUs is what connections have found out about paths, for later ones to
// begin with (RFC 1191 section 6.2): a bounded table of the demultiplexer's, in which
// everything stays for ten minutes (section 6.3).
//
// Nothing makes room before its time, and near the bound chance says what is taken
// (package red). Else a peer with many addresses, by whether the stack still knows
// all their paths, would see whether a report that it has forged was about
// something in flight, and so where in the sequence another's connection is.
type pathMTUs struct {
	limit  int
	random func() uint64
	byAddr map[netip.Addr]foundMTU
	// The order in which entries end. A place is void when its entry has been
	// replaced.
	queue ring.Queue[mtuPlace]
}

// A foundMTU is one entry.
type foundMTU struct {
	mtu   int
	until time.Time
}

type mtuPlace struct {
	addr  netip.Addr
	until time.Time
}

// maxPathMTUs is the limit of the table.
const maxPathMTUs = 4096

// learn takes what a connection to addr has found out. A path that has the MTU
// of its link needs no entry.
func (q *pathMTUs) learn(now time.Time, addr netip.Addr, mtu, link int) {
	q.expire(now)
	old, known := q.byAddr[addr]
	switch {
	case mtu >= link:
		delete(q.byAddr, addr)
		return
	case known && old.mtu == mtu:
		return // what is repeated does not become younger
	case !known && red.Full(len(q.byAddr), q.limit, q.random):
		return
	}
	if q.byAddr == nil {
		q.byAddr = make(map[netip.Addr]foundMTU)
	}
	until := now.Add(raiseInterval)
	q.byAddr[addr] = foundMTU{mtu, until}
	q.queue.Push(mtuPlace{addr, until})
	if q.queue.Len() > 2*q.limit {
		q.compact()
	}
}

// expire forgets what has been there for its time.
func (q *pathMTUs) expire(now time.Time) {
	for q.queue.Len() > 0 && Due(q.queue.At(0).until, now) {
		if p := q.queue.Pop(); !q.isVoid(p) {
			delete(q.byAddr, p.addr)
		}
	}
}

// compact drops the void places.
func (q *pathMTUs) compact() {
	for range q.queue.Len() {
		if p := q.queue.Pop(); !q.isVoid(p) {
			q.queue.Push(p)
		}
	}
}

func (q *pathMTUs) isVoid(p mtuPlace) bool {
	e, ok := q.byAddr[p.addr]
	return !ok || !e.until.Equal(p.until)
}

// lookup is the entry for addr, if it is not too old.
func (q *pathMTUs) lookup(now time.Time, addr netip.Addr) (foundMTU, bool) {
	e, ok := q.byAddr[addr]
	return e, ok && now.Before(e.until)
}

// recall has a new connection begin with what is known of its path.
func (d *Tables) recall(now time.Time, t *TCB) {
	if e, ok := d.paths.lookup(now, t.flow.Remote.Addr()); ok {
		t.path.recall(e.mtu, e.until)
		t.updateMSS()
	}
}

// Learn keeps what a connection has found out about its path.
func (d *Tables) Learn(now time.Time, t *TCB) {
	if mtu := t.path.finding(); mtu > 0 {
		d.paths.learn(now, t.flow.Remote.Addr(), mtu, d.mtu(t.flow))
	}
}

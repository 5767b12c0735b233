package tcp

import (
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
)

// pathMTUs is what connections have found out about paths, for later ones to
// begin with (RFC 1191 section 6.2): a bounded table of the demultiplexer's, in which
// nothing stays for more than ten minutes (section 6.3).
type pathMTUs struct {
	byAddr map[[4]byte]foundMTU
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
	addr  [4]byte
	until time.Time
}

// maxPathMTUs bounds the table; when it is full, the oldest entry is forgotten.
const maxPathMTUs = 1024

// learn takes what a connection to addr has found out. A path that has the MTU
// of its link needs no entry.
func (q *pathMTUs) learn(now time.Time, addr [4]byte, mtu, link int) {
	old, known := q.byAddr[addr]
	switch {
	case mtu >= link:
		delete(q.byAddr, addr)
		return
	case known && old.mtu == mtu && now.Before(old.until):
		return // what is repeated does not become younger
	}
	if q.byAddr == nil {
		q.byAddr = make(map[[4]byte]foundMTU)
	}
	until := now.Add(raiseInterval)
	q.byAddr[addr] = foundMTU{mtu, until}
	q.queue.Push(mtuPlace{addr, until})
	for len(q.byAddr) > maxPathMTUs || q.queue.Len() > 2*maxPathMTUs || q.queue.At(0).until.Before(now) {
		q.forget(q.queue.Pop())
	}
}

// forget removes the entry of a place, unless that is void.
func (q *pathMTUs) forget(p mtuPlace) {
	if e, ok := q.byAddr[p.addr]; ok && e.until.Equal(p.until) {
		delete(q.byAddr, p.addr)
	}
}

// lookup is the entry for addr, if it is not too old.
func (q *pathMTUs) lookup(now time.Time, addr [4]byte) (foundMTU, bool) {
	e, ok := q.byAddr[addr]
	return e, ok && now.Before(e.until)
}

// recall has a new connection begin with what is known of its path.
func (d *door) recall(now time.Time, t *tcb) {
	if e, ok := d.paths.lookup(now, t.flow.remote.ip); ok {
		t.path.recall(e.mtu, e.until)
		t.updateMSS()
	}
}

// found keeps what a connection tells of its path.
func (d *door) found(now time.Time, f flow, mtu int) {
	if mtu > 0 {
		d.paths.learn(now, f.remote.ip, mtu, d.mtu(f))
	}
}

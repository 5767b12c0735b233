package tcp

import (
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// A desk is where users meet the process of a connection. Each process has a
// desk of its own, and no desk is used twice: a quiet connection keeps one
// where nobody serves, at which there is one channel to wait at, and one that
// has ended has a desk which says how.
//
// The desk in use is changed by the owner of the connection's state only: its
// process, or the demultiplexer while there is none.
type desk struct {
	rd   chan []byte // the reader lends a slice to be filled; nil asks for a whole Buffer
	wr   chan []byte // the writer lends a slice to be taken from
	ctl  chan order  // everything else that users and ICMP want
	back chan result // the answer, which comes before anything else is taken

	left  chan struct{} // closed when another desk has taken the place of this one
	ended *ending       // not nil: the connection has ended
}

// An order is something that the process does.
type order struct {
	run   func(now time.Time, t *tcb)
	waits bool // for an answer, when it is done
}

// A result answers a call.
type result struct {
	n   int
	b   *packet.Buffer
	err error
}

// staffed is the desk of a process.
func staffed() *desk {
	return &desk{
		rd: make(chan []byte), wr: make(chan []byte), ctl: make(chan order),
		back: make(chan result), left: make(chan struct{}),
	}
}

// unstaffed is the desk of a connection without a process: readers wait there,
// and whoever wants more has to call wake.
func unstaffed() *desk { return &desk{left: make(chan struct{})} }

// asleep says that nobody serves at k, but somebody will as soon as he is
// called.
func (k *desk) asleep() bool { return k.ctl == nil && k.ended == nil }

// move makes k the desk of c. Whoever waits at the one before sees that it is
// left, and goes to the new one.
func (c *Conn) move(k *desk) {
	old := c.desk.Load()
	c.desk.Store(k)
	close(old.left)
}

// stir has all calls that wait look around: something has happened that is not
// told by a channel of theirs.
func (c *Conn) stir() {
	k := *c.desk.Load()
	k.left = make(chan struct{})
	c.move(&k)
}

// An ending is what the process of a connection has left behind, at a desk.
type ending struct {
	desk     desk
	rest     chan recvQueue // what is left to read; whoever takes it owns it until it is put back; nil for nothing
	readErr  error          // what calls return
	writeErr error
	info     Info
}

// keep has users find what is left of q, if there is something.
func (e *ending) keep(q *recvQueue) {
	if q.readyLen > 0 {
		e.rest = make(chan recvQueue, 1)
		e.rest <- q.leftOver()
	}
}

// read reads what is left.
func (e *ending) read(p []byte) (r result) {
	if e.rest == nil {
		return result{err: e.readErr}
	}
	q := <-e.rest
	if p == nil {
		r.b = q.take()
	} else {
		r.n = q.read(p)
	}
	e.rest <- q
	if r.n == 0 && r.b == nil {
		r.err = e.readErr
	}
	return r
}

// peek is what is left, n bytes at most, which stays; and what comes behind that.
func (e *ending) peek(n int) (text []byte, end error) {
	if e.rest == nil {
		return nil, e.readErr
	}
	q := <-e.rest
	text = q.peek(n)
	if len(text) == q.readyLen {
		end = e.readErr
	}
	e.rest <- q
	return text, end
}

// discard gives it back.
func (e *ending) discard() {
	if e.rest == nil {
		return
	}
	q := <-e.rest
	q.clear()
	e.rest <- q
}

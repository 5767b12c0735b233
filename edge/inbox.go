package edge

import (
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// Batch is how many packets a process takes in a row before it looks after anything
// else.
const Batch = 64

// An Inbox is the edge of packets that a process waits in. A plain receive from one
// channel costs half of a select over three, and less than half of one with a timer,
// so a process waits in nothing else. Whoever has something rare for it, be it a
// call, an ICMP error or the time, puts that into an edge of its own, and rings the
// bell of the inbox, as a driver rings the doorbell of a device.
//
// The bell is a flag, and a nil in the inbox. Where there is no room for the nil none
// is needed: the process is awake then, and looks at the flag after at most a batch.
// It clears the flag before it looks at its other edges, so what comes in that moment
// rings again.
//
//	for in.Next(p.receive) {
//		if in.Rung() {
//			p.serveRareEdges() // some of each; and in.Again() if there may be more
//		}
//	}
type Inbox struct {
	Edge[*packet.Buffer]
	_      [cacheLine]byte
	rung   atomic.Bool
	closed atomic.Bool // nothing more is sent

	// Of the reader:
	again   bool        // Next does not wait
	timer   *time.Timer // made when the first instant is set
	ringsAt time.Time   // when the timer rings; zero for never
}

// NewInbox makes an inbox with room for size packets, at least one.
func NewInbox(size int) *Inbox { return InboxOf(make(chan *packet.Buffer, size)) }

// InboxOf is an inbox of that channel, which has room for at least one packet.
func InboxOf(c chan *packet.Buffer) *Inbox {
	if cap(c) == 0 {
		panic("edge: an inbox without room for its bell")
	}
	in := &Inbox{Edge: Edge[*packet.Buffer]{read: c, write: c}}
	in.inbox = in
	return in
}

// InboxFrom is the inbox of a process that has nothing rare to see to. Another
// package has made the channel, and closes it.
func InboxFrom(c <-chan *packet.Buffer) *Inbox {
	return &Inbox{Edge: Edge[*packet.Buffer]{read: c}}
}

// Next waits for packets, or the bell, and has f take a batch of packets at most. It
// returns false when the inbox is closed, nothing is left in it, and the bell has been
// answered.
func (in *Inbox) Next(f func(*packet.Buffer)) bool {
	open, wait, n := true, !in.again, uint64(0)
	if wait && in.closed.Load() {
		open, wait = false, false
	}
	in.again = false
	for range Batch {
		var b *packet.Buffer
		ok := true
		if wait {
			b, ok = <-in.read
			wait = false
		} else {
			select {
			case b, ok = <-in.read:
			default:
				in.passed.Add(n)
				return open || n > 0 || in.rung.Load()
			}
		}
		if !ok {
			in.passed.Add(n)
			return n > 0
		}
		if b != nil {
			f(b)
			n++
		}
	}
	in.passed.Add(n)
	return true
}

// Ring wakes the reader. Anybody may call it, at any time.
func (in *Inbox) Ring() {
	if in.rung.Load() || in.rung.Swap(true) {
		return // whoever rang first wakes it
	}
	select {
	case in.write <- nil:
	default: // it is awake
	}
}

// Rung says whether the bell has been rung since it was asked last. The reader then
// looks at its other edges.
func (in *Inbox) Rung() bool {
	if !in.rung.Load() {
		return false
	}
	in.rung.Store(false)
	return true
}

// Again has Next not wait, and Rung say that the bell has been rung: the reader has
// left something in its other edges.
func (in *Inbox) Again() {
	in.again = true
	in.rung.Store(true)
}

// AwaitBell waits for the bell alone, when nobody wants packets any more.
func (in *Inbox) AwaitBell() {
	for !in.Rung() {
		if b := <-in.read; b != nil {
			b.Release()
		}
	}
}

// Close says that nothing more is sent. The reader ends when it has taken what is
// there. It is no fault if somebody sends later all the same, or rings.
func (in *Inbox) Close() {
	in.closed.Store(true)
	in.Ring()
}

// RingAt has the bell ring at that instant, or earlier; never for the zero time. An
// instant that moves ahead again and again costs nothing: the bell rings too early
// then, and the reader sets the next one. The reader calls it.
func (in *Inbox) RingAt(at time.Time) {
	if at.IsZero() || !in.ringsAt.IsZero() && !at.Before(in.ringsAt) {
		return
	}
	in.ringsAt = at
	if in.timer == nil {
		in.timer = time.AfterFunc(time.Until(at), in.Ring)
	} else {
		in.timer.Reset(time.Until(at))
	}
}

// Due says whether the instant of RingAt has come. Then none is set any more.
func (in *Inbox) Due(now time.Time) bool {
	if in.ringsAt.IsZero() || now.Before(in.ringsAt) {
		return false
	}
	in.ringsAt = time.Time{}
	return true
}

// Stop ends the timer. The reader calls it when it ends.
func (in *Inbox) Stop() {
	if in.timer != nil {
		in.timer.Stop()
	}
}

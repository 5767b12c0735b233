package tcp

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/machine"
)

// The state of a connection belongs to whoever holds its token: what is in the
// channel Conn.token, which has room for one. Each turn is the same:
//
//	take      wait for the token; nobody keeps it for long
//	…         run the machine
//	settle    see to what follows from that
//	put back  and look at the mailbox again
//
// A holder never waits: not for the network layer (transmit.go), not for users,
// and not for the token of another. The demultiplexer alone keeps tokens until the
// end of its burst, so that one acknowledgement and one wake-up serve all segments
// in it.
//
// A segment is not left lying: the demultiplexer, where it finds the token taken,
// leaves the segment in the mailbox and tries again; who puts the token back looks
// at the mailbox again. One of them sees the other.

// take waits for the token.
func (c *Conn) take() { <-c.token }

// tryTake takes the token if nobody has it.
func (c *Conn) tryTake() bool {
	select {
	case <-c.token:
		return true
	default:
		return false
	}
}

// put ends a turn in which something has happened.
func (c *Conn) put(now time.Time) {
	c.settle(now)
	c.release()
}

// release ends a turn in which nothing has happened.
func (c *Conn) release() {
	c.token <- struct{}{} // there is room
	for c.hasMail() && c.tryTake() {
		if c.t == nil { // what is in the mailbox is the demultiplexer's
			c.token <- struct{}{}
			return
		}
		c.settle(time.Now())
		c.token <- struct{}{}
	}
}

// settle does what follows: what has come in the meantime is taken, what is new is
// told, segments go out, those who wait and can be served are woken, and the timer
// is set.
func (c *Conn) settle(now time.Time) {
	if c.t == nil {
		return
	}
	c.takeMail()
	if c.parked() {
		return
	}
	c.announce()
	c.transmit(now)
	if c.t.Over() && !c.queued { // after transmit, since the last word may have been said there
		c.end(now)
		return
	}
	c.wake()
	c.setTimer(now)
}

// hasMail says whether segments wait.
func (c *Conn) hasMail() bool {
	m := c.mailbox.Load()
	return m != nil && len(m.segments) > 0
}

// takeMail has the machine take the segments that wait.
func (c *Conn) takeMail() {
	for m := c.mailbox.Load(); m != nil; {
		select {
		case b := <-m.segments:
			c.receive(b)
		default:
			return
		}
	}
}

// do runs f with the state, for a user. It returns false, and f is not run, when
// the connection has ended.
func (c *Conn) do(f func(now time.Time, t *machine.TCB)) bool {
	c.take()
	if c.t == nil {
		c.release()
		return false
	}
	now := time.Now()
	c.unpark()
	f(now, c.t)
	c.put(now)
	return true
}

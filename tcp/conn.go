package tcp

import (
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/machine"
)

// A Conn is one end of a connection. It is a net.Conn, and its methods may be
// called from any goroutine.
//
// It has no goroutine of its own. Its state belongs to whoever holds its token
// (token.go): the demultiplexer when a segment has come, a user in a call, a timer,
// and [Transmit] while the network layer is busy. When the connection is quiet
// little is left of it (park.go), so what only some connections need is made when
// they need it.
type Conn struct {
	flow     ip.Flow
	isV4     bool        // errors call the network "tcp4"
	isClosed atomic.Bool // Close was called
	lingers  atomic.Bool // Close waits

	readDeadline, writeDeadline deadlineSlot

	shared  *shared
	tx      *TransmitQueue // of the edge by which it sends
	inTx    listed[*Conn]  // of tx
	token   chan struct{}  // holds one thing while nobody has the state
	mailbox atomic.Pointer[mailbox]

	// Of whoever has the token:
	t       *machine.TCB // nil once the connection has ended
	ended   *machine.Ended
	queued  bool // in tx: nobody else sends for it
	writing bool // a Write has begun, and not ended

	readers, writers waitList
	nextWriters      waitList // wait for the Write before them to end

	timer    *time.Timer
	timerAt  time.Time // when it fires; zero when it does not
	activeAt time.Time // when it was unparked

	opened  chan<- error  // tells who has dialled how that has gone; nil when he knows
	signals chan Signal   // from when the user has asked for it
	drained chan struct{} // closed when all is delivered, or lost; nil when nobody waits

	// Of the demultiplexer:
	held bool // it keeps the token until the end of its burst
}

// mailboxLen is how many segments wait for who has the token at most.
const mailboxLen = 32

// A mailbox has segments that came while somebody else had the token. Only the
// demultiplexer fills it, and whoever has the token empties it.
type mailbox struct{ segments chan *packet.Buffer }

// shared is what the connections of a stack have in common.
type shared struct {
	events    events
	transfers transferPool
	advice    []edge.Out[ip.Advice]
	stats     *Stats
}

// newConn returns a connection whose token the caller has.
func newConn(f ip.Flow, isV4 bool, shared *shared, tx *TransmitQueue) *Conn {
	c := &Conn{flow: f, isV4: isV4, shared: shared, tx: tx, token: make(chan struct{}, 1), activeAt: time.Now()}
	c.inTx.thing = c
	return c
}

// receive has the machine take a packet.
func (c *Conn) receive(b *packet.Buffer) {
	c.unpark()
	if c.t.Arrives(b) {
		c.transmit(time.Now())
	}
}

// transmit hands segments to the network layer until it is busy, or nothing is to
// be sent. When it is busy, or there is much, Transmit goes on.
func (c *Conn) transmit(now time.Time) {
	if c.queued {
		return
	}
	t := c.t
	for range machine.TrainsAtOnce {
		if !t.Next(now) {
			if t.Blocked(now) {
				c.shared.events.press()
			}
			return
		}
		if !c.tx.offer(t) {
			break
		}
		t.Commit(now)
	}
	c.queued = true
	c.tx.push(c)
}

// setTimer makes the timer fire at the machine's deadline or before. A
// deadline that moves ahead, as it does with every acknowledgement, costs
// nothing: the timer fires too early then, and is set again.
func (c *Conn) setTimer(now time.Time) {
	d := c.t.TimerInstant(machine.Earliest(c.t.Deadline(), c.parkAt()))
	if d.IsZero() || !c.timerAt.IsZero() && !c.timerAt.After(d) {
		return
	}
	c.timerAt = d
	if c.timer == nil {
		c.timer = time.AfterFunc(d.Sub(now), c.expire)
	} else {
		c.timer.Reset(d.Sub(now))
	}
}

// stopTimer ends the timer. It may have fired, and expire wait for the token.
func (c *Conn) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer, c.timerAt = nil, time.Time{}
}

// expire is the timer.
func (c *Conn) expire() {
	c.take()
	now := time.Now()
	if !machine.Due(c.timerAt, now) { // it was stopped, and perhaps set anew, in this moment
		c.release()
		return
	}
	c.unpark()
	c.timerAt = time.Time{}
	c.t.Expire(now)
	if machine.Due(c.parkAt(), now) {
		c.shared.stats.Parked.Add(1)
		c.park(now)
	}
	c.put(now)
}

// announce tells those who wait that the connection is established, or that
// all is delivered; and whoever wants to know, what else has happened.
func (c *Conn) announce() {
	t := c.t
	if o := t.FastOpenOver(); o != nil {
		c.shared.events.tell(event{flow: c.flow, fastOpen: o})
	}
	if t.TakeAdvice() {
		c.advise()
	}
	if c.signals != nil && t.Signaled() {
		c.signal()
	}
	if c.drained != nil && t.FinAcked() {
		c.tellDrained()
	}
	if c.opened != nil && t.Synchronized() {
		c.opened <- nil // there is room
		c.opened = nil
	}
}

// tellDrained tells who waits for it that nothing more is to be delivered.
func (c *Conn) tellDrained() {
	if c.drained != nil {
		close(c.drained)
		c.drained = nil
	}
}

// end gives everything back, and tells the demultiplexer and the users.
func (c *Conn) end(now time.Time) {
	t := c.t
	c.stopTimer()
	e := t.End(now)
	c.t, c.ended = nil, e
	c.shared.events.tell(event{flow: c.flow, ended: c, t: t}) // T, and what is still in the mailbox, is the demultiplexer's
	if c.signals != nil {
		close(c.signals)
	}
	c.wakeAll()
	c.tellDrained()
	if c.opened != nil {
		c.opened <- e.ReadErr // there is room
		c.opened = nil
	}
}

// advise tells the network layer that the path to the peer seems dead. When it
// is busy the advice is lost: the machine must not wait, and R2 still comes.
func (c *Conn) advise() {
	if !ip.Advise(c.shared.advice, ip.Advice{Dst: c.flow.Remote.Addr()}) {
		c.shared.stats.DropAdviceFull.Add(1)
	}
}

// Info returns the state of the connection; after its end, the last one.
func (c *Conn) Info() Info {
	c.take()
	defer c.release()
	if c.t == nil {
		return c.ended.Info
	}
	return c.t.Info()
}

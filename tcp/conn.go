package tcp

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
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
	flow     flow
	isV4     bool        // errors call the network "tcp4"
	isClosed atomic.Bool // Close was called
	lingers  atomic.Bool // Close waits

	readDeadline, writeDeadline deadlineSlot

	shared  *shared
	tx      *TransmitQueue // of the edge by which it sends
	token   chan struct{}  // holds one thing while nobody has the state
	mailbox atomic.Pointer[mailbox]

	// Of whoever has the token:
	t       *tcb // nil once the connection has ended
	ended   *ending
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
	events     events
	activities chan *activity // free ones
	advice     []chan<- ipv4.Advice
}

// newConn returns a connection whose token the caller has.
func newConn(f flow, isV4 bool, shared *shared, tx *TransmitQueue) *Conn {
	return &Conn{flow: f, isV4: isV4, shared: shared, tx: tx, token: make(chan struct{}, 1), activeAt: time.Now()}
}

// receive has the machine take a packet.
func (c *Conn) receive(b *packet.Buffer) {
	c.unpark()
	c.t.packetArrives(b, &c.t.segment)
	if c.t.replies { // it goes before another one is taken
		c.transmit(time.Now())
	}
}

// trainsAtOnce bounds how much a connection sends before others have their turn.
const trainsAtOnce = 16

// transmit hands segments to the network layer until it is busy, or nothing is to
// be sent. When it is busy, or there is much, Transmit goes on.
func (c *Conn) transmit(now time.Time) {
	if c.queued {
		return
	}
	t := c.t
	for range trainsAtOnce {
		if !t.output(now, &t.segment) {
			c.blocked(now)
			return
		}
		if !c.tx.offer(t) {
			break
		}
		t.sent(now, &t.segment)
	}
	c.queued = true
	c.tx.push(c)
}

// blocked notes that nothing more is to be sent.
func (c *Conn) blocked(now time.Time) {
	c.t.blocked(now)
	if c.t.pressing {
		c.shared.events.press()
	}
}

// setTimer makes the timer fire at the machine's deadline or before. A
// deadline that moves ahead, as it does with every acknowledgement, costs
// nothing: the timer fires too early then, and is set again.
func (c *Conn) setTimer(now time.Time) {
	d := c.t.cfg.timerInstant(earliest(c.t.deadline(), c.parkAt()))
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
	if !due(c.timerAt, now) { // it was stopped, and perhaps set anew, in this moment
		c.release()
		return
	}
	c.unpark()
	c.timerAt = time.Time{}
	c.t.expire(now)
	if due(c.parkAt(), now) {
		c.t.stats.Slept.Add(1)
		c.park(now)
	}
	c.put(now)
}

// announce tells those who wait that the connection is established, or that
// all is delivered; and whoever wants to know, what else has happened.
func (c *Conn) announce() {
	t := c.t
	if t.fastOpen != nil && t.state.synchronized() {
		c.shared.events.push(event{flow: c.flow, fastOpen: t.fastOpen})
		t.fastOpen = nil
	}
	if t.failure.advise {
		c.advise()
	}
	if c.signals != nil && t.signal.any() {
		c.signal()
	}
	if c.drained != nil && t.finAcked() {
		c.tellDrained()
	}
	if c.opened != nil && t.state.synchronized() {
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

// An ending is what a connection that has ended has left behind.
type ending struct {
	unread   recvQueue // what users have not read
	readErr  error     // what calls return
	writeErr error
	info     Info
}

// end gives everything back, and tells the demultiplexer and the users.
func (c *Conn) end(now time.Time) {
	t := c.t
	c.stopTimer()
	e := &ending{info: t.info()}
	_, e.writeErr = t.write(now, nil)
	t.stats.Closed.Add(1)
	if t.recvq.readyLen > 0 {
		e.unread = t.recvq.leftOver()
	}
	t.release()
	if e.readErr = t.readError(); e.readErr == nil {
		e.readErr = net.ErrClosed
	}
	c.t, c.ended = nil, e
	c.leave(now, t)
	if c.signals != nil {
		close(c.signals)
	}
	c.wakeAll()
	c.tellDrained()
	if c.opened != nil {
		c.opened <- e.readErr // there is room
		c.opened = nil
	}
}

// leave tells the demultiplexer that no more segments are wanted, and what is
// to be put in the table of TIME-WAIT. T, and what is still in the mailbox, is the
// demultiplexer's.
func (c *Conn) leave(now time.Time, t *tcb) {
	e := event{flow: c.flow, ended: c, t: t, mtu: t.path.finding(), fastOpen: t.fastOpen, reset: t.err == syscall.ECONNRESET}
	if t.state == TimeWait {
		tw := t.timeWait(now)
		e.timeWait = &tw
	}
	c.shared.events.push(e)
}

// read reads what is left.
func (e *ending) read(p []byte) (r result) {
	if e.unread.readyLen == 0 {
		return result{err: e.readErr}
	}
	if p == nil {
		return result{b: e.unread.take()}
	}
	return result{n: e.unread.read(p)}
}

// peek is what is left, n bytes at most, which stays; and what comes behind that.
func (e *ending) peek(n int) (text []byte, end error) {
	text = e.unread.peek(n)
	if len(text) == e.unread.readyLen {
		end = e.readErr
	}
	return text, end
}

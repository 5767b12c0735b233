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
// Behind it runs a process, which owns the connection's state, while there is
// something to do; the methods speak with it by the channels of a desk
// (desk.go). When the connection is quiet there is none (sleep.go), and not
// much is left: so what only some connections need is made when they need it.
type Conn struct {
	flow     flow
	isClosed atomic.Bool // Close was called
	isV4     bool        // errors call the network "tcp4"
	lingers  atomic.Bool // Close waits

	// A call has waited that can be told of a deadline by stir only.
	unlimited atomic.Bool
	wanted    bool  // the demultiplexer's: there shall be a process, when this one has gone to sleep
	alarm     int32 // the demultiplexer's: the place in keepAlives, from 1; 0 for none

	desk    atomic.Pointer[desk]
	writing atomic.Pointer[turn] // from the first Write on

	readDeadline, writeDeadline deadlineSlot

	notices chan<- notice
	state   *tcb // the demultiplexer's: while there is no process

	signals chan Signal   // the process's, as soon as the user asks for it
	drained chan struct{} // the process's: closed when all is delivered, or lost; nil when nobody waits
}

// inbox is how many segments wait for a connection at most.
const inbox = 32

// trainsAtOnce bounds how much a connection does before it looks at its other
// channels again.
const trainsAtOnce = 16

func newConn(f flow, isV4 bool, notices chan<- notice) *Conn {
	c := &Conn{flow: f, isV4: isV4, notices: notices}
	c.desk.Store(unstaffed())
	return c
}

// A process is what the goroutine of a connection owns.
type process struct {
	*Conn
	at      *desk
	t       *tcb
	in      chan *packet.Buffer // closed when the stack ends
	out     chan<- *packet.Buffer
	advice  []chan<- ipv4.Advice
	pending pending
	segment segment // that arrives, or that output wants; here, so that the stack stays small

	opened chan<- error // tells who has dialled how that has gone; nil when he knows

	timer *time.Timer
	armed time.Time // when timer fires
	began time.Time
}

// pending is a segment that output wanted to go, in a packet that the network
// layer has not taken yet. It is still ours.
type pending struct {
	segment
	b *packet.Buffer
}

// run is the process of a connection.
//
// Owns: t, the connection as a machine, and the packet that is about to go.
// Reads: in (segments), rd and wr (slices lent by the user), ctl, its timer.
// Writes: out (IP datagrams), advice (which when full loses it), back (the answers), signals, notices (the last when it ends).
// Blocks on: its own select, and on notices, which is always served.
func (p *process) run() {
	t := p.t
	for polls := 0; ; polls++ {
		now := time.Now()
		tx := p.transmit(now)
		if t.over() { // after transmit, since the last word may have been said there
			break
		}
		rd, wr := p.guards()
		if polls%trainsAtOnce > 0 && p.poll(rd, wr) {
			continue // but now and then all channels have their turn
		}
		p.setTimer(now)
		select {
		case b, ok := <-p.in:
			p.receive(b, ok)
		case tx <- p.pending.b:
			p.onItsWay(now)
		case lent := <-rd:
			p.read(lent)
		case lent := <-wr:
			p.write(lent)
		case o := <-p.at.ctl:
			p.obey(o)
		case now := <-p.timer.C:
			p.armed = time.Time{}
			t.expire(now)
			if due(p.bedtime(), now) {
				p.sleep()
				return
			}
		}
	}
	p.end()
}

// poll serves what is ready, one of each kind, and says whether there was
// anything. A look at one channel costs a tenth of a select over all.
func (p *process) poll(rd, wr <-chan []byte) (served bool) {
	select {
	case b, ok := <-p.in:
		p.receive(b, ok)
		served = true
	default:
	}
	select {
	case lent := <-rd:
		p.read(lent)
		served = true
	default:
	}
	select {
	case lent := <-wr:
		p.write(lent)
		served = true
	default:
	}
	return served
}

// guards are the channels to users, where the machine can serve them, and nil
// where it can not.
func (p *process) guards() (rd, wr chan []byte) {
	if p.t.readable() {
		rd = p.at.rd
	}
	if p.t.writable() {
		wr = p.at.wr
	}
	return rd, wr
}

// receive takes a segment, and those that have come behind it, so that one
// acknowledgement serves all (MUST-58, MUST-59).
func (p *process) receive(b *packet.Buffer, ok bool) {
	for n := 1; ; n++ {
		if !ok {
			p.in = nil
			p.t.depart()
			return
		}
		p.t.packetArrives(b, &p.segment)
		if n == trainsAtOnce || p.t.replies {
			return // before another one is taken
		}
		select {
		case b, ok = <-p.in:
		default:
			return
		}
	}
}

// read fills one lent slice.
func (p *process) read(lent []byte) {
	var r result
	if lent == nil {
		r.b, r.err = p.t.readBuffer()
	} else {
		r.n, r.err = p.t.read(lent)
	}
	p.at.back <- r
}

// write takes from one lent slice.
func (p *process) write(lent []byte) {
	n, err := p.t.write(time.Now(), lent)
	p.at.back <- result{n: n, err: err}
}

// obey does what somebody wants.
func (p *process) obey(o order) {
	o.run(time.Now(), p.t)
	if o.waits {
		p.at.back <- result{}
	}
}

// transmit hands segments to the network layer until it is busy, or nothing
// is to be sent. When it is busy, the next segment is pending, and transmit
// returns the channel that it waits for.
func (p *process) transmit(now time.Time) chan<- *packet.Buffer {
	p.announce()
	for n := 0; ; n++ {
		if !p.t.output(now, &p.segment) {
			p.t.blocked(now)
			p.dropPending()
			if p.t.pressing {
				p.notices <- notice{flow: p.flow, pressed: true}
			}
			return nil
		}
		p.prepare()
		if n == trainsAtOnce {
			return p.out // others first
		}
		select {
		case p.out <- p.pending.b:
			p.onItsWay(now)
		default:
			return p.out
		}
	}
}

// prepare makes what output has said the pending packet. Where the text is
// that of the packet which is pending already, only the headers are written
// anew.
func (p *process) prepare() {
	s, old := &p.segment, &p.pending
	if old.b != nil && old.seq == s.seq && old.len == s.len && old.flags&SYN == s.flags&SYN {
		old.b.Pull(old.b.Len() - s.len)
		p.t.address(old.b, s)
	} else {
		p.dropPending()
		old.b = p.t.build(s)
	}
	old.segment = *s
}

// onItsWay notes that the network layer has taken the pending packet.
func (p *process) onItsWay(now time.Time) {
	p.pending.b = nil
	p.t.sent(now, &p.pending.segment)
}

func (p *process) dropPending() {
	if p.pending.b != nil {
		p.pending.b.Release()
		p.pending.b = nil
	}
}

// setTimer makes the timer fire at the machine's deadline or before. A
// deadline that moves ahead, as it does with every acknowledgement, costs
// nothing: the timer fires too early then, and is set again.
func (p *process) setTimer(now time.Time) {
	d := p.t.cfg.timerInstant(earliest(p.t.deadline(), p.bedtime()))
	if d.IsZero() || !p.armed.IsZero() && !p.armed.After(d) {
		return
	}
	p.armed = d
	p.timer.Reset(d.Sub(now))
}

// announce tells those who wait that the connection is established, or that
// all is delivered; and whoever wants to know, what else has happened.
func (p *process) announce() {
	if p.t.fastOpen != nil && p.t.state.synchronized() {
		p.notices <- notice{flow: p.flow, fastOpen: p.t.fastOpen}
		p.t.fastOpen = nil
	}
	if p.t.failure.advise {
		p.advise()
	}
	if p.signals != nil && p.t.signal.any() {
		p.notify()
	}
	if p.drained != nil && p.t.finAcked() {
		p.tellDrained()
	}
	if p.opened != nil && p.t.state.synchronized() {
		p.opened <- nil // there is room
		p.opened = nil
	}
}

// tellDrained tells who waits for it that nothing more is to be delivered.
func (c *Conn) tellDrained() {
	if c.drained != nil {
		close(c.drained)
		c.drained = nil
	}
}

// end gives everything back, tells the demultiplexer, and then the users.
func (p *process) end() {
	c, t, opened := p.Conn, p.t, p.opened
	p.timer.Stop()
	p.dropPending()
	e := &ending{info: t.info()}
	e.desk.ended = e
	_, e.writeErr = t.write(time.Now(), nil)
	t.stats.Closed.Add(1)

	e.keep(&t.recvq)
	t.release()
	if e.readErr = t.readError(); e.readErr == nil {
		e.readErr = net.ErrClosed
	}
	p.leave() // p and t are the demultiplexer's now
	if c.signals != nil {
		close(c.signals)
	}
	c.move(&e.desk)
	c.tellDrained()
	if opened != nil {
		opened <- e.readErr // there is room
	}
}

// leave tells the demultiplexer that no more segments are wanted, and what is
// to be put in the table of TIME-WAIT. What is still in the inbox is the
// demultiplexer's.
func (p *process) leave() {
	n := notice{flow: p.flow, departs: p, mtu: p.t.path.finding(), fastOpen: p.t.fastOpen, reset: p.t.err == syscall.ECONNRESET}
	if p.t.state == TimeWait {
		tw := p.t.timeWait(time.Now())
		n.timeWait = &tw
	}
	p.notices <- n
}

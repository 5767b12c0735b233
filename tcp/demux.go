package tcp

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/port"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/machine"
)

// A Call is a request to the owner of the tables: it runs in
// the demultiplexer. Package gonet makes the channel; [Sockets] sends on it.
type Call func(now time.Time, d *demux)

// demux is what the demultiplexer owns.
type demux struct {
	machine.Tables
	cfg     *Config // with its defaults
	stats   *Stats
	out     ip.Edges         // for connections, where there is room,
	queues  []*TransmitQueue // and for each of its edges, where there is none
	answers ip.Edges         // for itself
	shared  shared
	ports   *port.Chooser

	conns    map[ip.Flow]*Conn
	servers  map[*machine.Listener]*Listener
	portUses map[uint16]int // how many connections and listeners have a local port
	holding  []*Conn        // whose tokens it keeps until the end of the burst

	closing     bool            // the stack ends: nothing new begins
	answerUntil time.Time       // then: challenges of peers are answered until this instant
	idle        []chan struct{} // to be closed when there is no connection
}

func newDemux(cfg Config, stats *Stats, out ip.Edges, queues []*TransmitQueue, answers ip.Edges, advice []edge.Out[ip.Advice]) *demux {
	d := &demux{
		out: out, queues: queues, answers: answers, stats: stats,
		conns:    make(map[ip.Flow]*Conn),
		servers:  make(map[*machine.Listener]*Listener),
		portUses: make(map[uint16]int),
		ports:    port.NewChooser(cfg.Random),
	}
	d.shared = shared{transfers: newTransferPool(), advice: advice, stats: stats}
	d.Tables = machine.NewTables(cfg, d, d.shared.transfers, stats)
	d.cfg = d.Tables.Config()
	return d
}

// Demux is the process that knows all connections and listeners. It hands each
// segment to the connection that it belongs to, answers SYNs for listeners
// until a handshake is complete, keeps TIME-WAIT, and resets what nobody
// wants. Here, and only here, connections start. It returns when in is closed, and
// all connections have ended.
//
// Owns: the tables of connections, listeners, half-open connections, TIME-WAIT, ports and cookies; a connection's state while it has the token.
// Reads: in (packets from ipv4.Rx); icmpErrors, calls (of users), the events of connections, its timer.
// Writes: mailboxes of connections; out and answers, where it does not wait: what connections have to say goes on by Transmit, and resets and SYN-ACKs are dropped.
// Blocks on: in, and on the token of a connection whose mailbox is full, which nobody keeps for long.
func Demux(in *edge.Inbox, icmpErrors edge.In[ip.ICMPError], calls edge.In[Call], out ip.Edges, queues []*TransmitQueue, answers ip.Edges, advice []edge.Out[ip.Advice], cfg Config, stats *Stats) {
	d := newDemux(cfg, stats, out, queues, answers, advice)
	d.shared.events.inbox = in
	defer in.Stop()
	for in.Next(d.arrives) {
		if in.Rung() {
			d.rung(in, icmpErrors, calls)
		}
		d.settle()
		in.RingAt(d.deadline())
	}
	d.closeAll()
	for d.settle(); len(d.conns) > 0; d.settle() {
		in.AwaitBell()
		d.takeEvents()
	}
	for _, q := range queues {
		close(q.ready)
	}
}

// rung sees to what is rare: one of each, so that packets have their turn.
func (d *demux) rung(in *edge.Inbox, icmpErrors edge.In[ip.ICMPError], calls edge.In[Call]) {
	now := time.Now()
	if in.Due(now) {
		d.expire(now)
	}
	d.takeEvents()
	if e, ok := icmpErrors.Try(); ok {
		d.icmpError(e)
		in.Again()
	}
	if call, ok := calls.Try(); ok {
		call(now, d)
		in.Again()
	}
}

// arrives handles one packet.
func (d *demux) arrives(b *packet.Buffer) {
	f, ok := d.FlowOf(b)
	if !ok {
		return
	}
	if c, ok := d.conns[f]; ok {
		d.hand(c, b)
		return
	}
	d.Unmatched(f, b)
}

// hand gives b to the connection c, or leaves it to whoever has the token. If c has
// ended just then, b matches no connection.
func (d *demux) hand(c *Conn, b *packet.Buffer) {
	if d.closing {
		d.stats.DropClosing.Add(1)
		b.Release()
		return
	}
	if !c.held && !c.tryTake() {
		if d.mail(c, b) {
			if !c.tryTake() {
				return
			}
			b = nil // in the mailbox
		} else {
			c.take()
		}
	}
	if !d.keep(c) {
		if b != nil {
			d.Unmatched(c.flow, b)
		}
		return
	}
	c.takeMail()
	if b != nil {
		c.receive(b)
	}
	if c.t.Over() { // what comes now is not for it any more
		d.giveBack(time.Now(), c)
		d.takeEvents()
	}
}

// mail leaves b in the mailbox of c, and says whether there was room.
func (d *demux) mail(c *Conn, b *packet.Buffer) bool {
	m := c.mailbox.Load()
	if m == nil {
		m = &mailbox{make(chan *packet.Buffer, mailboxLen)}
		c.mailbox.Store(m)
	}
	select {
	case m.segments <- b:
		return true
	default:
		return false
	}
}

// keep keeps the token of c, which has been taken, until the end of the burst. It
// returns false when c has ended, and is forgotten.
func (d *demux) keep(c *Conn) bool {
	switch {
	case c.held:
		return true
	case c.t == nil:
		c.token <- struct{}{}
		d.takeEvents() // its end is among them
		return false
	}
	c.held = true
	d.holding = append(d.holding, c)
	return true
}

// hold is keep that takes the token, and has the connection at work.
func (d *demux) hold(c *Conn) bool {
	if !c.held {
		c.take()
	}
	if !d.keep(c) {
		return false
	}
	c.unpark()
	return true
}

// settle gives back the tokens that were kept during the burst.
func (d *demux) settle() {
	for len(d.holding) > 0 {
		now := time.Now()
		for i, c := range d.holding {
			d.holding[i] = nil
			if c.held {
				d.giveBack(now, c)
			}
		}
		d.holding = d.holding[:0]
		d.takeEvents() // which may begin connections, and end more
	}
}

func (d *demux) giveBack(now time.Time, c *Conn) {
	c.held = false
	c.put(now)
}

// start begins a connection, whose token it keeps; a parked one, when nothing is to
// be done yet. Opened, if it is not nil, has room for the outcome of the handshake.
func (d *demux) start(t *machine.TCB, isV4 bool, opened chan<- error) *Conn {
	f := t.Flow()
	out := d.out.To(f.Local.Addr(), t.FirstHop())
	tx := slices.IndexFunc(d.queues, func(q *TransmitQueue) bool { return q.edge == out })
	c := newConn(f, isV4, &d.shared, d.queues[tx])
	c.t, c.opened = t, opened
	d.conns[c.flow] = c
	d.portUses[c.flow.Local.Port]++
	if d.cfg.ParkAfter > 0 && t.Quiet() {
		c.park(time.Now())
		c.release()
	} else {
		d.keep(c)
	}
	return c
}

// takeEvents takes what connections have to tell.
func (d *demux) takeEvents() { d.shared.events.each(d.event) }

func (d *demux) event(e event) {
	if e.fastOpen != nil {
		d.FastOpenOver(time.Now(), e.flow, e.fastOpen, false)
	}
	if e.pressed {
		d.shared.events.pressed.Store(false)
		d.evictUnaccepted()
	}
	if e.ended != nil {
		d.forget(&e)
	}
}

// forget forgets a connection that has ended. What has come too late for it
// matches no connection.
func (d *demux) forget(e *event) {
	now := time.Now()
	delete(d.conns, e.flow)
	d.unusePort(e.flow.Local.Port)
	d.Ended(now, e.t)
	if m := e.ended.mailbox.Load(); m != nil {
		for len(m.segments) > 0 {
			d.Unmatched(e.flow, <-m.segments)
		}
	}
	if wait := e.t.AnswerTime(); d.closing && wait > 0 && now.Add(wait).After(d.answerUntil) {
		d.answerUntil = now.Add(wait)
	}
	d.Recycle(e.t)
	d.tellIdle(now)
}

// tellIdle tells those who wait for it that no connection is left, and that nobody
// may yet challenge a reset.
func (d *demux) tellIdle(now time.Time) {
	if len(d.conns) > 0 || now.Before(d.answerUntil) {
		return
	}
	for _, idle := range d.idle {
		close(idle)
	}
	d.idle = nil
}

func (d *demux) unusePort(p uint16) {
	if d.portUses[p]--; d.portUses[p] == 0 {
		delete(d.portUses, p)
	}
}

// icmpError brings an ICMP error to its connection.
func (d *demux) icmpError(e ip.ICMPError) {
	f := ip.Flow{
		Local:  ip.EndpointOf(e.Src, binary.BigEndian.Uint16(e.Transport[0:])),
		Remote: ip.EndpointOf(e.Dst, binary.BigEndian.Uint16(e.Transport[2:])),
	}
	c, ok := d.conns[f]
	if !ok {
		d.stats.ICMPErrorsIgnored.Add(1)
		return
	}
	if d.hold(c) {
		now := time.Now()
		c.t.IcmpError(now, e)
		d.Learn(now, c.t)
	}
}

// abandon ends a connection that nobody has accepted.
func (d *demux) abandon(c *Conn) {
	if d.hold(c) {
		c.t.Abandon(nil)
	} else {
		c.discard() // it has ended by itself
	}
}

// Answer puts a packet on its way, unless the network layer is busy.
func (d *demux) Answer(b *packet.Buffer) bool { return d.answers.Offer(b, d.cfg.Random) }

// Room says whether somebody accepts what at gets.
func (d *demux) Room(at *machine.Listener) bool {
	l := d.servers[at]
	return len(l.accept) < cap(l.accept)
}

// Opened puts a connection in the listener's queue.
func (d *demux) Opened(at *machine.Listener, t *machine.TCB) {
	l := d.servers[at]
	l.accept <- d.start(t, l.isV4, nil) // there is room, and nobody else sends
}

// closeAll ends all listeners and connections: the stack ends.
func (d *demux) closeAll() {
	if d.closing {
		return
	}
	d.closing = true
	for _, l := range d.servers {
		d.unlisten(l)
	}
	// These resets wait for the network layer, as those of connections do: nothing
	// else is to be done any more.
	d.RefuseHalfOpen(func(b *packet.Buffer) {
		out := d.out.Of(b)
		out.Send(b)
	})
	for _, c := range d.conns {
		if d.hold(c) {
			c.t.Depart()
		}
	}
}

// deadline is when expire has something to do; zero for never.
func (d *demux) deadline() time.Time {
	at := d.Tables.Deadline()
	if len(d.idle) > 0 && len(d.conns) == 0 {
		at = machine.Earliest(at, d.answerUntil)
	}
	return at
}

// expire is that of the tables. At the end of a stack it tells that challenges are
// over.
func (d *demux) expire(now time.Time) {
	d.tellIdle(now)
	d.Tables.Expire(now)
}

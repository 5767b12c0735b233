package tcp

import (
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/internal/port"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// A Call is a question to the owner of the tables, or an order: it runs in
// the demultiplexer. Package gonet makes the channel; [Sockets] sends on it.
type Call func(now time.Time, d *demux)

// A notice is what a connection's process tells the demultiplexer: how a Fast
// Open has gone, and, last, that it has ended. With that it hands itself over, with
// all that it owns, and touches none of it any more.
type notice struct {
	flow     flow
	departs  *process  // the connection has ended, and its process
	slept    *process  // the process has, but the connection only needs none for now (sleep.go)
	wakes    *Conn     // it is the user's: a process is wanted
	timeWait *timeWait // with departs: nil when it ended otherwise
	fastOpen *fastOpen // nil when there is nothing to tell
	reset    bool      // and the peer has reset it
	pressed  bool      // all connections together hold too much
	mtu      int       // of the path, if that has been found out; 0 otherwise
}

// demux is what the demultiplexer owns.
type demux struct {
	door
	out     ipv4.Edges           // for connections, which wait
	answers ipv4.Edges           // for itself
	advice  []chan<- ipv4.Advice // for connections, which do not wait
	notices chan notice
	ports   *port.Chooser

	conns    map[flow]handle
	portUses map[uint16]int // how many connections and listeners have a local port
	servers  servers        // for Fast Open as a client

	keepAlives keepAlives // of connections that sleep

	running     int // processes
	free        stock[process]
	closing     bool            // the stack ends: nothing new begins
	answerUntil time.Time       // then: challenges of peers are answered until this instant
	pressed     bool            // memory is short
	idle        []chan struct{} // to be closed when none is running

	timer *time.Timer
	armed time.Time // when timer fires
}

// A handle is how the demultiplexer reaches a connection.
type handle struct {
	in   chan *packet.Buffer
	conn *Conn
}

func newDemux(cfg Config, stats *Stats, out, answers ipv4.Edges, advice []chan<- ipv4.Advice) *demux {
	cfg = cfg.withDefaults()
	d := &demux{
		out: out, answers: answers, advice: advice,
		notices:  make(chan notice, inbox),
		conns:    make(map[flow]handle),
		portUses: make(map[uint16]int),
		servers:  servers{limit: cfg.FastOpenServers},
		timer:    time.NewTimer(time.Hour),
	}
	d.door = newDoor(cfg, d, stats)
	d.ports = port.NewChooser(cfg.Random)
	return d
}

// Demux is the process that knows all connections and listeners. It hands each
// segment to the connection that it belongs to, answers SYNs for listeners
// until a handshake is complete, keeps TIME-WAIT, and resets what nobody
// wants. Here, and only here, connections start. It returns when in and reports
// are both closed, and all connections have ended.
//
// Owns: the tables of connections, listeners, half-open connections, TIME-WAIT, ports and cookies.
// Reads: in (packets from ipv4.Rx), reports (ICMP errors), calls (of users), the notices of connections, its timer.
// Writes: the inbox of each connection; answers (resets, SYN-ACKs), where it drops when it would block. Connections write out and advice.
// Blocks on: its own select, and on a connection's inbox, which is always served until the connection departs.
func Demux(in <-chan *packet.Buffer, reports <-chan ipv4.Report, calls <-chan Call, out, answers ipv4.Edges, advice []chan<- ipv4.Advice, cfg Config, stats *Stats) {
	d := newDemux(cfg, stats, out, answers, advice)
	defer d.timer.Stop()
	for in != nil || reports != nil {
		if d.pressed {
			d.evictUnaccepted()
		}
		if in != nil && !d.burst(in) {
			in = nil
			continue
		}
		d.setTimer()
		select {
		case b, ok := <-in:
			if !ok {
				in = nil
				break
			}
			d.arrives(b)
		case r, ok := <-reports:
			if !ok {
				reports = nil
				break
			}
			d.report(r)
		case call := <-calls:
			call(time.Now(), d)
		case n := <-d.notices:
			d.noticed(n)
		case now := <-d.timer.C:
			d.armed = time.Time{}
			d.expire(now)
		}
	}
	d.closeAll()
	for d.running > 0 {
		d.noticed(<-d.notices)
	}
}

// batch is how many packets are taken before Demux looks at all its channels.
const batch = 64

// burst takes the packets that are there, up to a batch, and says whether in is
// open. A look at one channel costs a tenth of a select over all.
func (d *demux) burst(in <-chan *packet.Buffer) bool {
	for range batch {
		select {
		case b, ok := <-in:
			if !ok {
				return false
			}
			d.arrives(b)
		default:
			return true
		}
	}
	return true
}

// setTimer works as that of a connection does.
func (d *demux) setTimer() {
	at := d.deadline()
	if at.IsZero() || !d.armed.IsZero() && !d.armed.After(at) {
		return
	}
	d.armed = at
	d.timer.Reset(time.Until(at))
}

// arrives handles one packet.
func (d *demux) arrives(b *packet.Buffer) {
	f, ok := d.flowOf(b)
	if !ok {
		return
	}
	if c, ok := d.conns[f]; ok {
		d.hand(f, c, b)
		return
	}
	d.stranger(f, b)
}

// hand gives b to the connection f. If that departs just then, b is a
// stranger's.
func (d *demux) hand(f flow, c handle, b *packet.Buffer) {
	if d.closing { // the inbox is closed
		d.stats.DropClosing.Add(1)
		b.Release()
		return
	}
	for {
		if c.asleep() {
			c = d.wake(c)
		}
		select {
		case c.in <- b:
			return
		default: // a look at one channel costs much less than a select over two
		}
		select {
		case c.in <- b:
			return
		case n := <-d.notices:
			d.noticed(n)
		}
		var ok bool
		if c, ok = d.conns[f]; !ok {
			d.stranger(f, b)
			return
		}
	}
}

// start begins a connection; asleep, when nothing is to be done yet. Opened,
// if it is not nil, has room for the outcome of the handshake.
func (d *demux) start(t *tcb, isV4 bool, opened chan<- error) *Conn {
	c := newConn(t.flow, isV4, d.notices)
	d.portUses[c.flow.local.port]++
	if t.cfg.SleepAfter > 0 && t.quiet() {
		d.rest(c, t)
	} else {
		d.spawn(d.process(), c, t, opened)
	}
	return c
}

// process is one to be spawned, with an empty inbox.
func (d *demux) process() *process {
	p := d.free.take()
	if p.in == nil {
		p.in, p.timer = make(chan *packet.Buffer, inbox), time.NewTimer(time.Hour)
	}
	return p
}

// spawn begins the process of a connection, of whose fields it takes inbox and
// timer.
func (d *demux) spawn(p *process, c *Conn, t *tcb, opened chan<- error) handle {
	c.wanted = false
	h := handle{p.in, c}
	d.conns[c.flow] = h
	d.running++
	*p = process{
		Conn: c, at: staffed(), t: t, in: p.in, out: d.out.To(t.flow.local.addr(), t.route.towards(t.flow.remote.addr())), advice: d.advice,
		opened: opened, timer: p.timer, began: time.Now(),
	}
	p.move(p.at)
	go p.run()
	return h
}

// dismiss keeps a process that has ended for another connection. Its inbox is
// empty, its timer stopped.
func (d *demux) dismiss(p *process) {
	if d.closing {
		return // the inbox is closed
	}
	*p = process{in: p.in, timer: p.timer}
	d.free.put(p)
}

// noticed takes what a connection has to tell.
func (d *demux) noticed(n notice) {
	d.pressed = d.pressed || n.pressed
	if o := n.fastOpen; o != nil {
		if now := time.Now(); o.passive {
			d.fastOpens.end(now, n.flow, n.reset)
		} else {
			d.servers.learn(now, n.flow, o)
		}
	}
	switch {
	case n.departs != nil:
		d.departed(n)
	case n.slept != nil:
		d.slept(n)
	case n.wakes != nil:
		d.wanted(n.wakes)
	}
}

// departed forgets a connection whose process has ended. What has come too
// late for it is a stranger's.
func (d *demux) departed(n notice) {
	c := d.conns[n.flow]
	delete(d.conns, n.flow)
	d.unusePort(n.flow.local.port)
	d.found(time.Now(), n.flow, n.mtu)
	if n.timeWait != nil {
		d.timeWaits.add(n.flow, *n.timeWait, d.stats)
	}
	for len(c.in) > 0 {
		d.stranger(n.flow, <-c.in)
	}
	if t := n.departs.t; d.closing && t.challengeable {
		if until := time.Now().Add(answerTime(t.rtt.srtt)); until.After(d.answerUntil) {
			d.answerUntil = until
		}
	}
	d.spares.putTCB(n.departs.t)
	d.dismiss(n.departs)
	d.running--
	d.tellIdle(time.Now())
}

// answerTime is how long the demultiplexer of a stack that ends answers challenges of
// a peer with that round-trip time: two of them, within bounds.
func answerTime(rtt time.Duration) time.Duration {
	return min(max(2*rtt, 20*time.Millisecond), 500*time.Millisecond)
}

// tellIdle tells those who wait for it that no connection is left, and that nobody
// may yet challenge a reset.
func (d *demux) tellIdle(now time.Time) {
	if d.running > 0 || now.Before(d.answerUntil) {
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

// report brings an ICMP error to its connection.
func (d *demux) report(r ipv4.Report) {
	f := flow{
		local:  endpoint{r.Src.As4(), uint16(r.Transport[0])<<8 | uint16(r.Transport[1])},
		remote: endpoint{r.Dst.As4(), uint16(r.Transport[2])<<8 | uint16(r.Transport[3])},
	}
	c, ok := d.conns[f]
	if !ok {
		d.stats.IgnoredReports.Add(1)
		return
	}
	mtu := make(chan int, 1)
	if d.tell(c.conn, func(now time.Time, t *tcb) { t.icmpReport(now, r); mtu <- t.path.finding() }) {
		d.found(time.Now(), f, <-mtu) // it runs at once, and blocks on nothing
	}
}

// tell has the process of c run f, and says whether it does: not when it has
// ended.
func (d *demux) tell(c *Conn, f func(now time.Time, t *tcb)) bool {
	for {
		if h := d.conns[c.flow]; h.conn == c && h.asleep() {
			d.wake(h)
		}
		k := c.desk.Load()
		if k.ended != nil {
			return false
		}
		select {
		case k.ctl <- order{run: f}:
			return true
		case <-k.left:
		case n := <-d.notices:
			d.noticed(n)
		}
	}
}

// answer puts a packet on its way, unless the network layer is busy.
func (d *demux) answer(b *packet.Buffer) bool { return d.answers.Offer(b, d.cfg.Random) }

// room says whether somebody accepts what l gets.
func (d *demux) room(l *Listener) bool { return len(l.accept) < cap(l.accept) }

// opened gives a connection its process, and puts it in the listener's queue.
func (d *demux) opened(l *Listener, t *tcb) {
	l.accept <- d.start(t, l.isV4, nil) // there is room, and nobody else sends
}

// closeAll ends all listeners and connections: the stack ends.
func (d *demux) closeAll() {
	if d.closing {
		return
	}
	d.closing = true
	for _, at := range d.listeners {
		for _, l := range slices.Clone(at.all) {
			d.unlisten(l)
		}
	}
	d.refuseHalfOpen()
	for _, c := range d.conns {
		if c.asleep() {
			c = d.wake(c)
		}
		close(c.in)
	}
}

// refuseHalfOpen resets those that may think that they are connected, because
// their last segment of the handshake was lost, or nobody had accepted what was
// before them. These resets wait for the network layer, as those of connections
// do: nothing else is to be done any more.
func (d *demux) refuseHalfOpen() {
	for f, h := range d.halfOpens.byFlow {
		b := packet.Get(0)
		encode(b, &segment{seq: h.iss + 1, ack: h.irs + 1, flags: RST | ACK}, &f)
		h.route.push(b, ipv4.Fields{Protocol: ipv4.ProtocolTCP, DF: true, Src: f.local.addr(), Dst: f.remote.addr()})
		d.out.Of(b) <- b
		d.stats.OutSegments.Add(1)
		d.stats.OutResets.Add(1)
	}
	clear(d.halfOpens.byFlow)
}

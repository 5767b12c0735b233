package iscsi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/internal/input"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A process is what moves the events of one session. The session itself, the machine,
// belongs to whoever holds the token, for one turn in which nothing blocks:
//
//   - the reader reads PDUs, gives them to the machine, and executes what waits for
//     nothing;
//   - workers, started as they are needed, take tasks from the channel queue, execute
//     them, and tell the machine;
//   - whoever has made the machine say something takes the pen, unless somebody has it,
//     and writes all that is to be said, in one system call;
//   - the attendant has the timer, and does what others ask of the session.
//
// The machine bounds the tasks there are, so the queue is as long as that and giving it
// a task never blocks. While an initiator does not take what is written, the reader
// stops reading.
type process struct {
	server  *Server
	conn    net.Conn
	machine *session
	token   chan struct{} // of the machine
	pen     chan struct{} // of the writer
	queue   chan *task
	room    chan struct{} // outputs have been written

	reader reader
	in     *input.Reader
	writer writer
	target *served

	pending  atomic.Bool // the machine has something to say
	heard    atomic.Uint64
	free     int // workers that wait, of the holder of the token
	backlog  int // tasks in the queue that no worker waits for, as well
	started  int // workers, as well
	workers  sync.WaitGroup
	helpers  sync.WaitGroup // the attendant, and those that wait for functions
	events   chan struct{}
	asked    atomic.Uint32 // events
	draining atomic.Bool
	silent   atomic.Bool // the initiator has not answered
	over     atomic.Bool // nothing is read any more

	ctx    context.Context // of the session
	cancel context.CancelFunc
	calls  context.Context // of calls of the device: it ends when the server cuts off
}

// Events that others post.
const (
	eventDrain       uint32 = 1 << iota // log out
	eventAborted                        // tasks were aborted
	eventLUNsChanged                    // units came or went
)

const (
	inputSize  = 16 << 10
	workerRest = 10 * time.Second // after which a worker without work ends
)

// enter makes the session of a login that is done. ok is false if its target has gone
// meanwhile.
func (s *Server) enter(c *serverConn, in *input.Reader, l *loginTarget) (p *process, ok bool) {
	m := newSession(l, sessionLimits{
		window:     min(orDefault(s.QueueDepth, defaultQueueDepth), largestQueueDepth),
		immediates: maxImmediates,
		functions:  maxFunctions,
		memory:     orDefault(s.MaxMemory, defaultMaxMemory),
	})
	m.buffers, m.counters = &s.buffers, &s.counters
	initiator := l.initiator // the login itself goes
	m.targets = func(name string) ([]pair, bool) { return s.list(c, initiator, name) }
	p = &process{
		server: s, conn: c.conn, machine: m, in: in, target: c.target,
		token:  make(chan struct{}, 1),
		pen:    make(chan struct{}, 1),
		queue:  make(chan *task, m.limits.window+m.limits.immediates),
		room:   make(chan struct{}, 1),
		events: make(chan struct{}, 1),
		reader: reader{in: in, ahead: in, digests: m.digests, maxData: m.maxRecv},
		writer: newWriter(c.conn, m.digests, &s.buffers),
		calls:  c.ctx,
	}
	p.ctx, p.cancel = context.WithCancel(c.ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || c.target != nil && s.targets[c.target.name] != c.target {
		p.cancel()
		return nil, false
	}
	if c.target != nil {
		m.nexus = c.target.Units.Attach(scsi.NexusConfig{
			Initiator: scsi.InitiatorPort{Protocol: scsi.ProtocolISCSI, Name: l.initiator, ISID: l.isid},
			Port: scsi.TargetPort{
				Protocol: scsi.ProtocolISCSI,
				Device:   c.target.name,
				Name:     fmt.Sprintf("%s,t,0x%04x", c.target.name, c.portal.Group),
				Relative: c.portal.Group,
				Group:    c.portal.Group,
			},
			Access: lunAccess(l.access.LUNs),
			Notify: p.notify,
		})
	}
	c.process = p
	c.conn.SetDeadline(time.Time{})
	return p, true
}

// lunAccess masks the units that are not in luns.
func lunAccess(luns map[int]scsi.Access) func(int) scsi.Access {
	if luns == nil {
		return nil
	}
	return func(lun int) scsi.Access {
		if a, ok := luns[lun]; ok {
			return a
		}
		return scsi.Hidden
	}
}

// notify is told by the units what others have done to the session.
func (p *process) notify(e scsi.Event) {
	switch e.Kind {
	case scsi.EventAborted:
		p.post(eventAborted)
	case scsi.EventLUNsChanged:
		p.post(eventLUNsChanged)
	}
}

// post asks the attendant for something.
func (p *process) post(event uint32) {
	p.asked.Or(event)
	select {
	case p.events <- struct{}{}:
	default:
	}
}

// run serves the session until the connection ends, and returns why: nil if the
// initiator has logged out.
func (p *process) run() error {
	p.helpers.Go(p.attend)
	err := p.read()
	p.over.Store(true)
	if !errors.Is(err, errLoggedOut) {
		p.hangUp()
	}
	p.token <- struct{}{}
	m := p.machine
	m.abortAll()
	p.collect()
	<-p.token
	close(p.queue)
	p.workers.Wait()
	if m.nexus != nil {
		<-m.nexus.Detach()
	}
	p.token <- struct{}{}
	m.part()
	p.collect()
	<-p.token
	if m.parting != nil {
		p.pen <- struct{}{} // behind whoever writes at this moment
		p.write()
		<-p.pen
	}
	p.hangUp()
	p.helpers.Wait()
	if extra := p.started - 1; extra > 0 {
		p.server.workers.Add(-int64(extra))
	}
	if errors.Is(err, errLoggedOut) {
		return nil
	}
	return err
}

// hangUp writes what is left to be said, and closes the connection.
func (p *process) hangUp() {
	p.push()
	p.cancel()
	p.conn.Close()
}

var errLoggedOut = errors.New("iscsi: the initiator has logged out")

// read is the reader. It owns what it reads until the machine has it, reads the
// connection, and blocks in that, and for outputs to be written.
func (p *process) read() error {
	var h header
	for {
		if p.in.Buffered() < headerSize {
			p.push() // nobody waits for a response while the reader waits for him
		}
		additional, err := p.reader.header(&h)
		if err != nil {
			return err
		}
		p.heard.Add(1)
		buf, data, bad, err := p.readData(&h)
		if err != nil {
			return err
		}
		p.token <- struct{}{}
		m := p.machine
		err = m.receive(&h, additional, data, bad)
		waiting, ending := len(m.out), m.ending
		p.collect()
		<-p.token
		p.server.buffers.Put(buf)
		if err == nil && ending {
			err = errLoggedOut
		}
		if err != nil {
			return err
		}
		if waiting > maxOutputs {
			if err := p.awaitRoom(); err != nil {
				return err
			}
		}
	}
}

// readData reads the data segment of the PDU of h, into the buffer of the task that it
// belongs to, or another.
func (p *process) readData(h *header) (buf *buffers.Buffer, data []byte, bad bool, err error) {
	n := h.dataLength()
	if n == 0 {
		return nil, nil, false, nil
	}
	if h.opcode() == opDataOut {
		p.token <- struct{}{}
		data = p.machine.place(h)
		<-p.token
	}
	if data == nil {
		buf = p.server.buffers.Get(n)
		data = buf.Bytes[:n]
	}
	if p.in.Buffered() < n {
		p.push()
	}
	err = p.reader.data(data)
	if errors.Is(err, errDataDigest) {
		bad, err = true, nil
	}
	return buf, data, bad, err
}

// awaitRoom waits until the initiator has taken what was written.
func (p *process) awaitRoom() error {
	for {
		p.push()
		p.token <- struct{}{}
		waiting := len(p.machine.out)
		<-p.token
		if waiting <= maxOutputs {
			return nil
		}
		select {
		case <-p.room:
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
}

// collect takes what came out of a turn, with the token held.
func (p *process) collect() {
	m := p.machine
	for len(m.ready) > 0 || len(m.begins) > 0 {
		ready := m.ready
		m.ready = nil
		for _, t := range ready {
			p.dispatch(t)
		}
		if m.ready == nil {
			m.ready = ready[:0]
		}
		for _, f := range m.begins {
			p.helpers.Go(func() { p.await(f) })
		}
		m.begins = nil
		if m.reset && p.target != nil {
			p.helpers.Go(func() { p.server.dropSessions(p.target, p) })
		}
	}
	if len(m.out) > 0 {
		p.pending.Store(true)
	}
}

// dispatch has t executed: here if that waits for nothing, else by a worker.
func (p *process) dispatch(t *task) {
	if t.scsi.Inline() {
		t.execute(p.calls)
		p.machine.finish(t)
		return
	}
	p.queue <- t
	switch {
	case p.free > 0:
		p.free--
	case p.started == 0 || p.server.startWorker():
		p.started++
		p.workers.Go(p.work)
	default:
		p.backlog++
	}
}

// execute executes t with the data that have come.
func (t *task) execute(ctx context.Context) {
	t.scsi.Execute(ctx, t.out[:min(t.received, len(t.out))], t.in)
}

// work is a worker. It owns a task while it executes it, reads the queue, and blocks in
// that, in the device, and in writing.
//
// One that has waited in vain for long ends, since all sessions together have so many.
func (p *process) work() {
	idle := time.NewTimer(workerRest)
	defer idle.Stop()
	for {
		select {
		case t, ok := <-p.queue:
			if !ok {
				return
			}
			p.serve(t)
		case <-idle.C:
			if p.retire() {
				return
			}
		}
		idle.Reset(workerRest)
	}
}

// serve executes a task.
func (p *process) serve(t *task) {
	t.execute(p.calls)
	p.token <- struct{}{}
	if p.backlog > 0 {
		p.backlog--
	} else {
		p.free++
	}
	p.machine.finish(t)
	p.collect()
	<-p.token
	p.push()
}

// retire takes a worker off the account, and says whether it may end: as long as there
// are free ones, more wait than there are tasks.
func (p *process) retire() bool {
	p.token <- struct{}{}
	defer func() { <-p.token }()
	if p.free == 0 {
		return false
	}
	p.free--
	if p.started--; p.started > 0 {
		p.server.workers.Add(-1)
	}
	return true
}

// await answers a function of task management when the tasks of others have ended.
func (p *process) await(f *function) {
	select {
	case <-f.others:
	case <-p.ctx.Done():
		return
	}
	p.token <- struct{}{}
	p.machine.othersEnded(f)
	p.collect()
	ending := p.machine.ending
	<-p.token
	p.push()
	if ending {
		p.conn.Close()
	}
}

// attend is the attendant. It owns the timer, reads events, and blocks in writing.
func (p *process) attend() {
	interval := p.server.PingInterval
	if interval <= 0 {
		interval = defaultPingInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	heard := p.heard.Load()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.events:
			p.handle(p.asked.Swap(0))
		case <-tick.C:
			now := p.heard.Load()
			if now == heard && !p.ping() {
				p.silent.Store(true)
				p.conn.Close()
			}
			heard = now
		}
	}
}

// ping asks the initiator whether it is there, and says whether it has answered.
func (p *process) ping() (answered bool) {
	p.token <- struct{}{}
	answered = p.machine.ping()
	p.collect()
	<-p.token
	p.helpers.Go(p.push) // which may block for as long as the initiator takes nothing
	return answered
}

// handle does what others have asked.
func (p *process) handle(events uint32) {
	p.token <- struct{}{}
	m := p.machine
	if events&eventAborted != 0 {
		m.sweep()
	}
	if events&eventLUNsChanged != 0 {
		sense := scsi.Sense{Key: scsi.UnitAttention, Code: scsi.CodeLUNsChanged}
		m.async(asyncSCSI, 0, sense.Append(nil, false), 0)
	}
	if events&eventDrain != 0 {
		p.draining.Store(true)
		m.async(asyncLogout, 0, nil, uint16(logoutGrace/time.Second))
	}
	p.collect()
	<-p.token
	p.helpers.Go(p.push)
}

// dropSessions ends the other sessions of a target (TARGET COLD RESET).
func (s *Server) dropSessions(t *served, except *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.target == t && c.process != except {
			c.conn.Close()
		}
	}
}

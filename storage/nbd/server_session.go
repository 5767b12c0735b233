package nbd

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/internal/input"
)

// A session is the transmission phase of one connection. Its processes are:
//
//   - the leader, who owns the session: it reads requests, judges them, and takes
//     memory for them, which it has a budget of;
//   - workers, started as they are needed, up to one a request: each takes a task
//     from the channel work, does it on the device, and gives it to the outbox;
//   - whoever has the pen of the outbox writes.
//
// A task goes leader -> worker -> outbox -> leader. So the bound on tasks is the
// bound on requests in flight, all channels are as long as there are tasks, and
// nothing but the leader ever waits for another process. While a client does not
// take its replies, tasks do not come back, and the leader stops reading.
//
// A hop to another goroutine costs more than a read of memory or of the page cache.
// So the leader does reads and writes itself, and writes the replies of all that it
// has found in its buffer at once. Where one of them takes long (see lookout), a
// new leader takes over, the old one goes on as a worker, and the requests that
// follow go to workers for a while.
type session struct {
	server *Server
	worker worker
	in     *input.Reader
	conn   net.Conn
	out    *outbox
	work   chan *task
	result chan error // of the last leader

	// The leader's.
	spare     []*task // done
	made      int     // tasks there are
	held      int     // bytes of the budget in use
	batch     []*task // done by the leader, replies not yet written
	size      int     // of their replies
	cautious  int     // requests for workers before the leader tries itself again
	penalty   int     // cautious after the next distrust
	streak    int     // requests that the leader has done itself since the last one
	suspicion int     // grows with slow ones: see judge

	workers sync.WaitGroup // and leaders
	started atomic.Int32   // workers; the leader makes them, idle ones end
	watch   atomic.Uint64  // see lookout

	ending atomic.Bool // drain: take no more requests
	over   atomic.Bool // nobody leads it any more
}

// Sizes of the leader's way of doing requests itself.
const (
	inputSize    = 32 << 10
	largestBatch = 256 << 10

	workerRest = 10 * time.Second // after which a worker without work ends
)

// Errors inside a session.
var (
	errEnd  = errors.New("nbd: the session has ended")           // without fault
	errLost = errors.New("nbd: somebody else leads the session") // no longer this goroutine's
)

// run serves requests until the connection ends, and returns why: nil if the client
// said so or the server drained it.
func (s *session) run() error {
	s.workers.Go(s.lead)
	err := <-s.result
	if s.ending.Load() {
		s.refuseRest()
	}
	s.flush()
	close(s.work)
	if err != nil && !errors.Is(err, errEnd) && !s.ending.Load() {
		s.worker.cancelReads()
	}
	s.workers.Wait()
	s.out.push()
	s.worker.cancelReads()
	if s.ending.Load() || errors.Is(err, errEnd) {
		return nil
	}
	return err
}

// lead is a leader. It owns the session until the connection ends or another leader
// takes over while it works on the device; then it is a worker. It reads the
// connection, writes to workers and the outbox, and blocks in reading, in writing
// replies, and for tasks to come back.
func (s *session) lead() {
	s.flush() // of the leader before
	err := s.read()
	if !errors.Is(err, errLost) {
		s.result <- err
		return
	}
	s.serveOthers()
}

// read reads requests until it cannot.
func (s *session) read() error {
	for !s.ending.Load() {
		r, err := s.next()
		if err != nil {
			return err
		}
		if r.cmd == cmdDisc {
			return errEnd
		}
		if err := s.request(r); err != nil {
			return err
		}
	}
	return errEnd
}

// next reads the header of a request.
func (s *session) next() (request, error) {
	n := s.worker.limits.style.requestSize()
	s.beforeWait(n)
	b, err := s.in.Peek(n)
	if err != nil {
		if len(b) > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return request{}, err
	}
	r, err := parseRequest(b, s.worker.limits.style)
	if err != nil {
		s.server.counters.protocolErrors.Add(1)
		return request{}, err
	}
	_, err = s.in.Discard(n)
	return r, err
}

// beforeWait writes the replies of the batch if n bytes have not come yet, so that
// no client waits for a reply while the leader waits for it.
func (s *session) beforeWait(n int) {
	if len(s.batch) > 0 && s.in.Buffered() < n {
		s.flush()
	}
}

// flush writes the replies of the batch.
func (s *session) flush() {
	if len(s.batch) == 0 {
		return
	}
	s.out.flush(s.batch)
	for i, t := range s.batch {
		s.recycle(t)
		s.batch[i] = nil
	}
	s.batch, s.size = s.batch[:0], 0
}

// request takes one request, with its payload, and sees that it is done.
func (s *session) request(r request) error {
	s.server.counters.count(r.cmd)
	l := s.worker.limits
	l.size = s.worker.export.size.Load()
	v := l.check(r)
	payload := r.payload(l.style)
	if v.fatal {
		s.server.counters.protocolErrors.Add(1)
		return v.errno
	}
	if v.errno != 0 {
		if err := s.skip(payload); err != nil {
			return err
		}
		s.refuse(r, v)
		return nil
	}
	n := int(payload)
	if r.cmd == cmdRead {
		n = int(r.length)
	}
	t := s.take(r, n)
	if payload > 0 {
		s.beforeWait(n)
		if err := s.in.Payload(t.payload(n), l.style.requestSize()); err != nil {
			s.recycle(t)
			return err
		}
		s.server.counters.bytesWritten.Add(payload)
	}
	return s.do(t)
}

// refuse answers a request that is not tried.
func (s *session) refuse(r request, v verdict) {
	s.server.counters.rejected.Add(1)
	t := s.take(r, 0)
	t.refuse(s.worker.limits.style, v)
	s.reply(t)
}

// skip reads the payload of a request that is refused, so that the next request is
// found behind it.
func (s *session) skip(n uint64) error {
	for n > 0 {
		some := int(min(n, 1<<20))
		s.beforeWait(some)
		if _, err := s.in.Discard(some); err != nil {
			return err
		}
		n -= uint64(some)
	}
	return nil
}

// take returns a task for the request with a buffer of n bytes, and waits until the
// budget has room for it.
func (s *session) take(r request, n int) *task {
	need := buffers.Size(n)
	s.collect()
	for s.held > 0 && s.held+need > s.server.maxMemory() || len(s.spare) == 0 && s.made == cap(s.out.queue) {
		if len(s.batch) > 0 {
			s.flush()
			continue
		}
		s.server.counters.waits.Add(1)
		s.recycle(<-s.out.free)
	}
	var t *task
	if last := len(s.spare) - 1; last >= 0 {
		t, s.spare = s.spare[last], s.spare[:last]
	} else {
		t = newTask()
		s.made++
	}
	t.req, t.held = r, need
	s.held += need
	if size := s.worker.export.wholePages(r); size > 0 {
		for at := 0; at < n; at += size {
			t.pages = append(t.pages, s.server.buffers.Get(size))
		}
		return t
	}
	if !s.out.vectored || !s.worker.export.lends(r) {
		t.buf = s.server.buffers.Get(n)
	}
	return t
}

// collect takes back the tasks that are done.
func (s *session) collect() {
	for len(s.out.free) > 0 {
		s.recycle(<-s.out.free)
	}
}

// recycle makes a task that is done ready for another request.
func (s *session) recycle(t *task) {
	s.server.buffers.Put(t.buf)
	s.held -= t.held
	t.buf, t.held = nil, 0
	for _, p := range t.pages {
		if p.Bytes != nil { // the device may have taken it and given none
			s.server.buffers.Put(p)
		}
	}
	clear(t.pages)
	t.pages = t.pages[:0]
	for _, l := range t.loans {
		l.Return()
	}
	clear(t.loans)
	t.loans = t.loans[:0]
	if cap(t.heads) > 16<<10 {
		t.heads = nil
	}
	s.spare = append(s.spare, t)
}

// do does the request here if that is likely to take no time, and otherwise by a
// worker.
func (s *session) do(t *task) error {
	if t.req.cmd > cmdWrite || t.req.flags&cmdFlagFUA != 0 {
		s.give(t)
		return nil
	}
	if s.worker.export.immediate {
		s.worker.work(t)
		s.reply(t)
		return nil
	}
	if s.cautious > 0 {
		s.cautious--
		s.give(t)
		return nil
	}
	turn := s.watch.Add(1)
	s.server.lookout.attend()
	start := time.Now()
	s.worker.work(t)
	took := time.Since(start)
	if !s.watch.CompareAndSwap(turn, turn+1) {
		s.out.send(t)
		return errLost
	}
	s.judge(took > slowCall+time.Duration(t.req.length)/2) // nanoseconds, at 2 GB/s
	s.reply(t)
	return nil
}

// judge leaves requests to workers when more than one in nine has been slow. One
// now and then is no sign: on a busy machine the processor was away.
func (s *session) judge(slow bool) {
	if slow {
		if s.suspicion += slowWeight; s.suspicion >= 2*slowWeight {
			s.distrust()
		}
		return
	}
	s.suspicion = max(s.suspicion-1, 0)
	if s.streak++; s.streak%trustAfter == 0 {
		s.penalty = max(s.penalty/2, leastPenalty)
	}
}

// distrust leaves the requests that follow to workers, for longer the oftener it is
// called.
func (s *session) distrust() {
	s.cautious, s.streak, s.suspicion = s.penalty, 0, 0
	s.penalty = min(2*s.penalty, mostPenalty)
}

// give gives the request to a worker.
func (s *session) give(t *task) {
	select {
	case s.work <- t: // to a worker that has nothing to do
		return
	default:
	}
	if s.started.Load() == 0 || s.server.startWorker() {
		s.started.Add(1)
		s.workers.Go(func() {
			s.serve(t)
			s.serveOthers()
		})
		return
	}
	s.flush()
	s.work <- t
}

// reply adds the reply of a task done here to the batch.
func (s *session) reply(t *task) {
	s.batch = append(s.batch, t)
	s.size += t.size()
	if s.size >= largestBatch {
		s.flush()
	}
}

// serve is what a worker does with each task. It writes to the outbox, and blocks in
// calls of the device and in writing to the connection.
func (s *session) serve(t *task) {
	s.worker.work(t)
	s.out.send(t)
}

// serveOthers is a worker that waits for tasks. One that has waited in vain for long
// ends, since all sessions together have so many, unless it is the last.
func (s *session) serveOthers() {
	idle := time.NewTimer(workerRest)
	defer idle.Stop()
	for {
		select {
		case t, ok := <-s.work:
			if !ok {
				return
			}
			s.serve(t)
		case <-idle.C:
			if s.retire() {
				return
			}
		}
		idle.Reset(workerRest)
	}
}

// retire takes a worker off the account, and says whether it may end.
func (s *session) retire() bool {
	for n := s.started.Load(); n > 1; n = s.started.Load() {
		if s.started.CompareAndSwap(n, n-1) {
			s.server.workers.Add(-1)
			return true
		}
	}
	return false
}

// refuseRest answers what had been received when the session was told to end.
func (s *session) refuseRest() {
	style := s.worker.limits.style
	for s.in.Buffered() >= style.requestSize() {
		r, err := s.next()
		if err != nil || r.cmd == cmdDisc {
			return
		}
		payload := r.payload(style)
		if payload > uint64(s.in.Buffered()) || s.skip(payload) != nil {
			return
		}
		s.refuse(r, verdict{errno: ESHUTDOWN, message: ESHUTDOWN.Error()})
	}
}

// drain makes the session end when all it has taken is done.
func (s *session) drain() {
	s.ending.Store(true)
	s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the leader
}

// newSession makes the session of a connection whose handshake is over.
func newSession(srv *Server, c *serverConn, conn net.Conn, in *input.Reader, n *negotiation) *session {
	x := n.export
	s := &session{
		server: srv,
		conn:   conn,
		in:     in,
		out:    newOutbox(conn, srv.maxRequests()),
		work:   make(chan *task),
		result: make(chan error, 1),

		penalty: leastPenalty,
		worker: worker{
			export: x,
			limits: limits{
				style:    n.style,
				flags:    x.flags(n.style, len(n.selected) > 0),
				minimum:  x.MinimumBlockSize,
				maximum:  x.MaximumRequestSize,
				contexts: len(n.selected),
			},
			selected: n.selected,
			counters: &srv.counters,
			writes:   c.ctx,
		},
	}
	s.worker.reads, s.worker.cancelReads = context.WithCancel(c.ctx)
	return s
}

package nbd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A session is the transmission phase of one connection. Its processes are:
//
//   - the reader, who owns the session: it reads requests, judges them, and takes
//     memory for them, which it has a budget of;
//   - workers, started as they are needed, up to one a request: each takes a task
//     from the channel work, does it on the device, and gives it to the outbox;
//   - whoever has the pen of the outbox writes.
//
// A task goes reader -> worker -> outbox -> reader. So the bound on tasks is the
// bound on requests in flight, all channels are as long as there are tasks, and
// nothing but the reader ever waits for another process. While a client does not
// take its replies, tasks do not come back, and the reader stops reading.
//
// Where the device never waits, the reader does small requests itself and writes
// the replies of all that it has found in its buffer at once.
type session struct {
	server *Server
	worker worker
	in     *bufio.Reader
	conn   net.Conn
	out    *outbox

	// The reader's.
	spare   []*task // done
	made    int     // tasks there are
	held    int     // bytes of the budget in use
	batch   []*task // done by the reader, replies not yet written
	size    int     // of their replies
	work    chan *task
	workers sync.WaitGroup
	started int

	ending atomic.Bool // drain: take no more requests
}

// Sizes of the reader's way of doing requests itself.
const (
	inputSize     = 64 << 10
	largestInline = 64 << 10 // payload of a request
	largestBatch  = 256 << 10
)

// errEnd ends a session without fault.
var errEnd = errors.New("nbd: the session has ended")

// run serves requests until the connection ends, and returns why: nil if the client
// said so or the server drained it.
func (s *session) run() error {
	err := s.read()
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
	if s.ending.Load() || errors.Is(err, errEnd) {
		return nil
	}
	return err
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
// no client waits for a reply while the reader waits for it.
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
	l := &s.worker.limits
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
		if _, err := io.ReadFull(s.in, t.buf.bytes[:n]); err != nil {
			s.recycle(t)
			return err
		}
		s.server.counters.bytesWritten.Add(payload)
	}
	s.do(t, n)
	return nil
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
	need := bufferSize(n)
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
	t.req, t.held, t.buf = r, need, s.server.buffers.get(n)
	s.held += need
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
	s.server.buffers.put(t.buf)
	s.held -= t.held
	t.buf, t.held = nil, 0
	if cap(t.heads) > 16<<10 {
		t.heads = nil
	}
	s.spare = append(s.spare, t)
}

// do does the request here if it cannot take long, and otherwise by a worker.
func (s *session) do(t *task, n int) {
	if s.worker.export.immediate && n <= largestInline && t.req.cmd <= cmdWrite {
		s.worker.work(t)
		s.reply(t)
		return
	}
	select {
	case s.work <- t: // to a worker that has nothing to do
		return
	default:
	}
	if s.started == 0 || s.server.startWorker() {
		s.started++
		s.workers.Go(func() { s.serve(t) })
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

// serve is a worker. It owns a task at a time, reads work, writes to the outbox,
// and blocks in calls of the device, in writing to the connection, and while there
// is no work.
func (s *session) serve(t *task) {
	ok := true
	for ok {
		s.worker.work(t)
		s.out.send(t)
		t, ok = <-s.work
	}
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
	s.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
}

// linger closes the connection so that the last replies arrive: with requests
// unread, a close would make the kernel send a reset, which may overtake them.
func linger(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok && c.CloseWrite() == nil {
		conn.SetReadDeadline(time.Now().Add(time.Second))
		io.CopyN(io.Discard, conn, 64<<20)
	}
	conn.Close()
}

// newSession makes the session of a connection whose handshake is over.
func newSession(srv *Server, c *serverConn, conn net.Conn, in *bufio.Reader, n *negotiation) *session {
	x := n.export
	s := &session{
		server: srv,
		conn:   conn,
		in:     in,
		out:    newOutbox(conn, srv.maxRequests()),
		work:   make(chan *task),
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

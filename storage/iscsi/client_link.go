package iscsi

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// A link is one session of an initiator in its full feature phase. Its state belongs to
// whoever holds the token, for steps in which nothing blocks:
//
//   - callers put their requests into the table of calls and the queue;
//   - the reader takes what comes, and puts what it asks for into the queue;
//   - whoever has put something into the queue takes the pen, unless somebody has it, and
//     writes all there is. The reader leaves that to the writer, since who reads must not
//     wait for who writes.
type link struct {
	conn   net.Conn
	reader reader
	in     *bufio.Reader
	writer writer

	token chan struct{}
	pen   chan struct{}
	wake  chan struct{} // of the writer
	room  chan struct{} // the window may be open
	lost  chan struct{} // closed when the link has ended and no call uses its buffers

	pending  atomic.Bool
	pool     *buffers.Pool
	notify   func(Event)
	leaving  chan struct{} // closed when the target asks to log out
	asked    bool
	heard    atomic.Uint64
	maxCalls int

	// Of the holder of the token.
	calls     map[uint32]*call
	queue     []output
	owners    []*call // of the data of each of queue
	writing   []*call // of those that are being written
	itt       uint32
	cmdSN     uint32
	maxCmdSN  uint32
	expStatSN uint32
	err       error

	maxSend       int
	firstBurst    int
	initialR2T    bool
	immediateData bool
}

// A call is a request of an initiator that waits for its answer.
type call struct {
	header    header
	out, in   []byte
	text      []byte // what came, for all but SCSI commands; sense for them
	answer    header // of the target
	received  int
	queued    int // of its PDUs that are not written yet
	unordered bool
	answered  bool
	err       error
	done      chan struct{}
}

// An Event is what a target tells without being asked (RFC 7143, 11.9).
type Event struct {
	Code  byte // AsyncEvent
	LUN   uint64
	Sense []byte
}

// Errors of links.
var (
	errLost     = errors.New("iscsi: the connection is lost")
	errRejected = errors.New("iscsi: the target rejects the request")
)

const abortTimeout = 10 * time.Second

func newLink(conn net.Conn, in *bufio.Reader, l *loginInitiator, pool *buffers.Pool, maxCalls int, notify func(Event)) *link {
	k := &link{
		conn: conn, in: in, pool: pool, notify: notify, maxCalls: maxCalls,
		reader: reader{in: in, digests: l.digests(), maxData: int(l.ownRecv)},
		writer: newWriter(conn, l.digests(), pool),
		token:  make(chan struct{}, 1), pen: make(chan struct{}, 1),
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		lost: make(chan struct{}), leaving: make(chan struct{}),
		calls: map[uint32]*call{}, cmdSN: l.cmdSN, maxCmdSN: l.cmdSN, expStatSN: l.expStatSN,
		maxSend:       int(l.peerRecv),
		firstBurst:    int(l.firstBurst()),
		initialR2T:    l.agreed[keyInitialR2T] == 1,
		immediateData: l.agreed[keyImmediateData] == 1,
	}
	ended := make(chan struct{})
	go k.write(ended)
	go func() {
		err := k.read()
		close(ended)
		k.fail(err)
	}()
	return k
}

// fail ends the link and its calls.
func (k *link) fail(err error) {
	k.conn.Close()
	k.pen <- struct{}{} // nobody writes any more
	k.token <- struct{}{}
	k.err = errors.Join(errLost, err)
	for _, c := range k.calls {
		c.err = k.err
		close(c.done)
	}
	clear(k.calls)
	close(k.lost) // with the token: who has seen err sees that the link is over
	<-k.token
	<-k.pen
}

// close ends the link at once.
func (k *link) close() { k.conn.Close(); <-k.lost }

// do sends a request and waits for its answer. When ctx ends a SCSI command is aborted:
// its buffers are in use until the target has said that it is, or the link has ended.
func (k *link) do(ctx context.Context, c *call) error {
	c.done = make(chan struct{})
	if err := k.submit(ctx, c); err != nil {
		return err
	}
	k.push()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
	}
	if c.header.opcode() == opCommand {
		k.abort(c)
	} else {
		timeout := time.AfterFunc(abortTimeout, func() { k.conn.Close() })
		defer timeout.Stop()
		<-c.done
	}
	if c.err != nil {
		return ctx.Err()
	}
	return nil // it was faster
}

// abort does ABORT TASK for c, and ends the link if the target does not answer that.
func (k *link) abort(c *call) {
	h := newHeader(opTask, flagFinal|tmfAbortTask, 0)
	h[0] |= 0x40
	h.setLUN(c.header.lun())
	h.setReferencedTag(c.header.itt())
	h.setRefCmdSN(c.header.cmdSN())
	f := &call{header: h, unordered: true}
	f.done = make(chan struct{})
	if k.submit(context.Background(), f) != nil {
		<-c.done
		return
	}
	k.push()
	timeout := time.AfterFunc(abortTimeout, func() { k.conn.Close() })
	<-f.done
	timeout.Stop()
	if f.err != nil || f.answer.response() > tmfNoTask {
		k.conn.Close() // nobody can tell when the task ends
	}
	k.token <- struct{}{}
	if f.err == nil && k.calls[c.header.itt()] == c {
		c.err = context.Canceled
		k.finish(c)
	}
	<-k.token
	<-c.done
}

// submit puts c into the table and the queue when the window is open (RFC 7143,
// 4.2.2.1).
func (k *link) submit(ctx context.Context, c *call) error {
	for {
		k.token <- struct{}{}
		if k.err != nil {
			<-k.token
			return k.err
		}
		open := len(k.calls) < k.maxCalls && !before(k.maxCmdSN, k.cmdSN)
		if open || c.unordered {
			k.enter(c)
			more := len(k.calls) < k.maxCalls && !before(k.maxCmdSN, k.cmdSN)
			<-k.token
			if more {
				k.wakeUp(k.room) // somebody else may wait
			}
			return nil
		}
		<-k.token
		select {
		case <-k.room:
		case <-k.lost:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (k *link) wakeUp(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// enter gives c its numbers and queues it with its unsolicited data.
func (k *link) enter(c *call) {
	h := &c.header
	if h.itt() == 0 {
		for k.itt++; k.itt == 0 || k.itt == reservedTag || k.calls[k.itt] != nil; k.itt++ {
		}
		h.setITT(k.itt)
	}
	h.setCmdSN(k.cmdSN)
	if !h.immediate() {
		k.cmdSN++
	}
	k.calls[h.itt()] = c
	if h.opcode() != opCommand {
		k.enqueue(c, *h, c.out)
		return
	}
	n := 0
	if k.immediateData {
		n = min(len(c.out), k.firstBurst, k.maxSend)
	}
	unsolicited := n
	if !k.initialR2T {
		unsolicited = min(len(c.out), k.firstBurst)
	}
	if unsolicited > n {
		h[1] &^= flagFinal
	}
	k.enqueue(c, *h, c.out[:n])
	k.dataOut(c, reservedTag, n, unsolicited)
}

// dataOut queues data of c from at up to end.
func (k *link) dataOut(c *call, ttt uint32, at, end int) {
	for sn := uint32(0); at < end; sn++ {
		n := min(end-at, k.maxSend)
		h := newHeader(opDataOut, 0, c.header.itt())
		h.setLUN(c.header.lun())
		h.setTTT(ttt)
		h.setDataSN(sn)
		h.setBufferOffset(uint32(at))
		if at+n == end {
			h[1] = flagFinal
		}
		k.enqueue(c, h, c.out[at:at+n])
		at += n
	}
}

// enqueue queues a PDU of c, or of no call.
func (k *link) enqueue(c *call, h header, data []byte) {
	h.setExpStatSN(k.expStatSN)
	k.queue = append(k.queue, output{header: h, data: data})
	k.owners = append(k.owners, c)
	if c != nil {
		c.queued++
	}
	k.pending.Store(true)
}

// push writes what is queued unless somebody else does.
func (k *link) push() {
	for k.pending.Load() {
		select {
		case k.pen <- struct{}{}:
		default:
			return
		}
		k.writeQueue()
		<-k.pen
	}
}

// writeQueue writes the queue, with the pen.
func (k *link) writeQueue() {
	w := &k.writer
	k.token <- struct{}{}
	k.pending.Store(false)
	w.batch, k.queue = k.queue, w.batch[:0]
	k.writing, k.owners = k.owners, k.writing[:0]
	<-k.token
	if !w.broken {
		if err := w.write(); err != nil {
			w.broken = true
			k.conn.Close()
		}
	}
	k.token <- struct{}{}
	for _, c := range k.writing {
		if c != nil {
			if c.queued--; c.queued == 0 && c.answered {
				close(c.done)
			}
		}
	}
	clear(k.writing)
	clear(w.batch)
	<-k.token
}

// write is the writer: it writes what the reader has queued.
func (k *link) write(ended <-chan struct{}) {
	for {
		select {
		case <-k.wake:
			k.push()
		case <-ended:
			return
		}
	}
}

// finish gives c back to its caller, when nothing of it has to be written any more.
func (k *link) finish(c *call) {
	delete(k.calls, c.header.itt())
	c.answered = true
	if c.queued == 0 {
		close(c.done)
	}
	k.wakeUp(k.room)
}

package tcp

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// Read reads what has arrived, at least one byte. It returns io.EOF once the
// peer has closed and all is read. Other errors are *net.OpError around
// net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, ETIMEDOUT.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 { // it waits for nothing, but tells of Close, as package net's does
		if c.isClosed.Load() {
			return 0, c.opError("read", net.ErrClosed)
		}
		return 0, nil
	}
	r := c.lendRead(p)
	return r.n, c.opError("read", r.err)
}

// lendRead lends p to the process to be filled, or asks for a whole Buffer
// when p is nil.
func (c *Conn) lendRead(p []byte) result {
	for {
		k, passed, err := c.approach(&c.readDeadline)
		switch {
		case err != nil:
			return result{err: err}
		case k.ended != nil:
			return k.ended.read(p)
		}
		select {
		case k.rd <- p: // not before there is something to read; so this wakes nobody
			return c.answer(k)
		case <-k.left:
		case <-passed:
		}
	}
}

// answer is what the process at k says of a slice. Close has it answer all who
// wait, with an error of the machine's.
func (c *Conn) answer(k *desk) result {
	r := <-k.back
	if r.err != nil && c.isClosed.Load() {
		r.err = net.ErrClosed
	}
	return r
}

// approach is how a call begins that may wait, and how it goes on when it is
// stirred: with the desk in use, and a channel that is closed when the deadline
// passes, or nil without one. Or it gives the error that ends the call. A deadline
// that was moved on before its call has seen it pass does not count, as in package
// net.
func (c *Conn) approach(s *deadlineSlot) (k *desk, passed <-chan struct{}, err error) {
	k = c.desk.Load() // before the rest is looked at: what changes then has the desk left
	if passed = c.passed(s); isClosed(passed) {
		err = os.ErrDeadlineExceeded
	}
	if c.isClosed.Load() {
		err = net.ErrClosed
	}
	return k, passed, err
}

// Write queues all of p for sending, behind all of any Write that has begun
// before, and waits for room as needed. It returns
// once all is queued, not when it has arrived. Errors are *net.OpError around
// net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, EPIPE, ETIMEDOUT.
func (c *Conn) Write(p []byte) (int, error) { return c.write(p, false) }

func (c *Conn) write(p []byte, urgent bool) (int, error) {
	turn := c.turn()
	if err := c.await(turn); err != nil {
		return 0, c.opError("write", err)
	}
	defer turn.end()
	if urgent {
		c.do(func(_ time.Time, t *tcb) { t.urge(len(p)) })
	}
	n, err := c.writeAll(p)
	return n, c.opError("write", err)
}

// writeAll writes p for who has the turn.
func (c *Conn) writeAll(p []byte) (int, error) {
	n := 0
	for {
		m, err := c.lendWrite(p[n:])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

func (c *Conn) lendWrite(p []byte) (int, error) {
	for {
		k, passed, err := c.approach(&c.writeDeadline)
		switch {
		case err != nil:
			return 0, err
		case k.ended != nil:
			return 0, k.ended.writeErr
		case len(p) == 0:
			return 0, c.writeNothing()
		case k.asleep():
			c.wake(k)
			continue
		}
		select {
		case k.wr <- p:
			r := c.answer(k)
			return r.n, r.err
		default:
		}
		select {
		case k.wr <- p:
			r := c.answer(k)
			return r.n, r.err
		case <-k.left:
		case <-passed:
		}
	}
}

// writeNothing is a Write of no bytes: it waits for nothing, but says what
// another would fail with.
func (c *Conn) writeNothing() (err error) {
	c.do(func(now time.Time, t *tcb) {
		if t.finQueued || t.state == Closed {
			_, err = t.write(now, nil)
		}
	})
	return err
}

// A turn is for one Write at a time, so that each goes out whole.
type turn struct{ taken chan struct{} }

// turn is the one of c.
func (c *Conn) turn() *turn {
	if c.writing.Load() == nil {
		c.writing.CompareAndSwap(nil, &turn{make(chan struct{}, 1)})
	}
	return c.writing.Load()
}

// await takes the turn, unless Close or the deadline comes before.
func (c *Conn) await(t *turn) error {
	for {
		k, passed, err := c.approach(&c.writeDeadline)
		if err != nil {
			return err
		}
		select {
		case t.taken <- struct{}{}:
			return nil
		case <-k.left:
		case <-passed:
		}
	}
}

func (t *turn) end() { <-t.taken }

// WriteTo writes what arrives to w until the peer closes, without a copy of
// its own: w sees the packets' memory. It implements io.WriterTo, so io.Copy
// uses it.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for {
		r := c.lendRead(nil)
		if r.err == io.EOF {
			return n, nil
		}
		if r.err != nil {
			return n, c.opError("writeto", c.opError("read", r.err))
		}
		m, err := w.Write(r.b.Bytes())
		r.b.Release()
		n += int64(m)
		if err != nil {
			return n, c.opError("writeto", err)
		}
	}
}

// maxChunk is how much ReadFrom reads at once, in bytes.
const maxChunk = 64 << 10

// ReadFrom writes what r gives until its end. It implements io.ReaderFrom: io.Copy
// uses it, and reads in pieces as large as a train.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.readFrom(r)
	return n, c.opError("readfrom", err)
}

func (c *Conn) readFrom(r io.Reader) (int64, error) {
	b := packet.Get(maxChunk)
	defer b.Release()
	space := b.Extend(maxChunk)
	var n int64
	for {
		m, err := r.Read(space)
		if m > 0 {
			w, err := c.Write(space[:m])
			n += int64(w)
			if err != nil {
				return n, err
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Close ends the connection. What was written is still delivered, in the
// background; what was not read is lost, and then the peer gets a reset. See
// SetLinger for other ways. Calls that wait return net.ErrClosed.
func (c *Conn) Close() error {
	if c.isClosed.Swap(true) {
		return c.opError("close", net.ErrClosed)
	}
	c.stopDeadlines()
	if c.lingers.Load() {
		c.linger()
	} else {
		c.order(order{run: closes}) // it comes before all that is asked of the process from now on
	}
	c.discard()
	return nil
}

// closes is what Close has the process do. Who waits for t is served then.
func closes(now time.Time, t *tcb) {
	if t.opts.linger == 0 {
		t.abandon(nil)
		return
	}
	t.close(now)
}

// linger closes, and waits until all is delivered, for so long at most as the
// user has said; then it aborts.
func (c *Conn) linger() {
	var d time.Duration
	drained := make(chan struct{})
	if !c.do(func(now time.Time, t *tcb) {
		closes(now, t)
		c.drained, d = drained, t.opts.linger
	}) {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		c.do(func(_ time.Time, t *tcb) { t.abort(nil) })
	}
}

// discard gives back what the process has left behind, if it has ended.
func (c *Conn) discard() {
	if e := c.desk.Load().ended; e != nil {
		e.discard()
	}
}

// CloseWrite sends a FIN behind what was written: the peer reads to its end,
// and can go on sending.
func (c *Conn) CloseWrite() error {
	return c.shutdown(func(now time.Time, t *tcb) { t.closeWrite(now) })
}

// CloseRead says that no more will be read. What arrives is thrown away, and
// Read returns io.EOF.
func (c *Conn) CloseRead() error {
	return c.shutdown(func(_ time.Time, t *tcb) { t.closeRead() })
}

// shutdown closes one direction. Of a connection that has ended the error is
// ENOTCONN, as that of shutdown(2).
func (c *Conn) shutdown(direction func(now time.Time, t *tcb)) error {
	if c.isClosed.Load() {
		return c.opError("close", net.ErrClosed)
	}
	var err error = syscall.ENOTCONN
	c.do(func(now time.Time, t *tcb) {
		if t.state != Closed {
			direction(now, t)
			err = nil
		}
	})
	return c.opError("close", err)
}

// do has the process run f, and waits for it. It returns false, and f is not
// run, when the connection has ended.
func (c *Conn) do(f func(now time.Time, t *tcb)) bool {
	k := c.order(order{f, true})
	if k == nil {
		return false
	}
	<-k.back
	return true
}

// order gives o to the process, and returns the desk where that was; nil, when the
// connection has ended.
func (c *Conn) order(o order) *desk {
	for {
		k := c.desk.Load()
		switch {
		case k.ended != nil:
			return nil
		case k.asleep():
			c.wake(k)
			continue
		}
		select {
		case k.ctl <- o:
			return k
		default: // the process is at work; a look at one channel costs much less than a select over two
		}
		select {
		case k.ctl <- o:
			return k
		case <-k.left:
		}
	}
}

// call is do for a method that returns an error after Close.
func (c *Conn) call(op string, f func(now time.Time, t *tcb)) error {
	if c.isClosed.Load() {
		return c.opError(op, net.ErrClosed)
	}
	c.do(f)
	return nil
}

// callSet is call for what package net asks of the descriptor alone.
func (c *Conn) callSet(f func(now time.Time, t *tcb)) error {
	if c.isClosed.Load() {
		return c.setError(net.ErrClosed)
	}
	c.do(f)
	return nil
}

// LocalAddr returns the *net.TCPAddr of this end.
func (c *Conn) LocalAddr() net.Addr { return c.flow.local.netAddr() }

// RemoteAddr returns the *net.TCPAddr of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.flow.remote.netAddr() }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

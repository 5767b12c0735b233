package tcp

import (
	"io"
	"net"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// Read reads what has arrived, at least one byte. It returns io.EOF once the
// peer has closed and all is read. Other errors are *net.OpError around
// net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, ETIMEDOUT.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r := c.lendRead(p)
	return r.n, c.opError("read", r.err)
}

// lendRead lends p to the process to be filled, or asks for a whole Buffer
// when p is nil.
func (c *Conn) lendRead(p []byte) result {
	passed := c.readDeadline.Passed()
	if isClosed(passed) {
		return result{err: c.interrupted()}
	}
	select {
	case c.rd <- p:
		return <-c.back
	case <-passed:
		return result{err: c.interrupted()}
	case <-c.done:
		return c.readRest(p)
	}
}

// interrupted is why a call does not wait any longer whose deadline has passed
// or ended.
func (c *Conn) interrupted() error {
	if c.isClosed.Load() {
		return net.ErrClosed
	}
	return os.ErrDeadlineExceeded
}

// readRest reads what the process has left behind.
func (c *Conn) readRest(p []byte) (r result) {
	q := <-c.rest
	if p == nil {
		r.b = q.take()
	} else {
		r.n = q.read(p)
	}
	c.rest <- q
	if r.n == 0 && r.b == nil {
		r.err = c.readErr
	}
	return r
}

// Write queues all of p for sending, behind all of any Write that has begun
// before, and waits for room as needed. It returns
// once all is queued, not when it has arrived. Errors are *net.OpError around
// net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, EPIPE, ETIMEDOUT.
func (c *Conn) Write(p []byte) (int, error) { return c.write(p, false) }

func (c *Conn) write(p []byte, urgent bool) (int, error) {
	passed := c.writeDeadline.Passed()
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-passed:
		return 0, c.opError("write", c.interrupted())
	}
	if urgent {
		c.do(func(_ time.Time, t *tcb) { t.urge(len(p)) })
	}
	n := 0
	for {
		m, err := c.lendWrite(p[n:], passed)
		n += m
		if err != nil || n == len(p) {
			return n, c.opError("write", err)
		}
	}
}

func (c *Conn) lendWrite(p []byte, passed <-chan struct{}) (int, error) {
	switch {
	case isClosed(passed):
		return 0, c.interrupted()
	case len(p) == 0:
		return 0, nil
	}
	for {
		select {
		case c.wr <- p:
			r := <-c.back
			return r.n, r.err
		case <-c.sleeping():
			c.wake()
		case <-passed:
			return 0, c.interrupted()
		case <-c.done:
			return 0, c.writeErr
		}
	}
}

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
			return n, c.opError("read", r.err)
		}
		m, err := w.Write(r.b.Bytes())
		r.b.Release()
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
}

// maxChunk is how much ReadFrom reads at once, in bytes.
const maxChunk = 64 << 10

// ReadFrom writes what r gives until its end. It implements io.ReaderFrom: io.Copy
// uses it, and reads in pieces as large as a train.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
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
	c.readDeadline.End()
	c.writeDeadline.End()
	linger := noLinger
	var drained <-chan struct{}
	c.do(func(now time.Time, t *tcb) {
		linger = t.opts.linger
		if linger == 0 {
			t.orphan = true
			t.abort(nil)
			return
		}
		t.close(now)
		if linger > 0 {
			c.drained = make(chan struct{})
			drained = c.drained
		}
	})
	c.discardRest()
	if drained != nil {
		c.lingerFor(linger, drained)
	}
	return nil
}

// lingerFor waits until all is delivered, for so long at most; then it aborts.
func (c *Conn) lingerFor(d time.Duration, drained <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-drained:
	case <-c.done:
	case <-timer.C:
		c.do(func(_ time.Time, t *tcb) { t.abort(nil) })
	}
}

// discardRest gives back what the process left behind, if it has ended.
func (c *Conn) discardRest() {
	if isClosed(c.done) {
		q := <-c.rest
		q.clear()
		c.rest <- q
	}
}

// CloseWrite sends a FIN behind what was written: the peer reads to its end,
// and can go on sending.
func (c *Conn) CloseWrite() error {
	return c.call("close", func(_ time.Time, t *tcb) { t.closeWrite() })
}

// CloseRead says that no more will be read. What arrives is thrown away, and
// Read returns io.EOF.
func (c *Conn) CloseRead() error {
	return c.call("close", func(_ time.Time, t *tcb) { t.closeRead() })
}

// do has the process run f, and waits for it. It returns false, and f is not
// run, when the process has ended.
func (c *Conn) do(f func(now time.Time, t *tcb)) bool {
	for {
		select {
		case c.ctl <- func(now time.Time, t *tcb) { f(now, t); c.back <- result{} }:
			<-c.back
			return true
		case <-c.sleeping():
			c.wake()
		case <-c.done:
			return false
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

// LocalAddr returns the *net.TCPAddr of this end.
func (c *Conn) LocalAddr() net.Addr { return c.flow.local.netAddr() }

// RemoteAddr returns the *net.TCPAddr of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.flow.remote.netAddr() }

func (e endpoint) netAddr() *net.TCPAddr { return net.TCPAddrFromAddrPort(e.addrPort()) }

// opError wraps err as package net does. io.EOF stays as it is.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

package tcp

import (
	"io"
	"net"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/machine"
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
	r := c.read(p)
	return r.n, c.opError("read", r.err)
}

// A result answers a call.
type result struct {
	n   int
	b   *packet.Buffer
	err error
}

// maxChunk bounds what is copied in one turn with the token, in bytes: others wait
// for it.
const maxChunk = 64 << 10

// read waits for something to read, and reads as much of it as is copied in one
// turn; a whole Buffer when p is nil.
func (c *Conn) read(p []byte) (r result) {
	if r.err = c.await(&c.readers, &c.readDeadline, c.readable); r.err != nil {
		return r
	}
	switch {
	case c.t == nil && p == nil:
		r.b, r.err = c.ended.ReadBuffer()
	case c.t == nil:
		r.n, r.err = c.ended.Read(p)
	case p == nil:
		r.b, r.err = c.t.ReadBuffer()
	default:
		r.n, r.err = c.t.Read(p[:min(len(p), maxChunk)])
	}
	if c.t != nil && (c.t.OwesACK() || c.timerAt.IsZero()) { // there is something to say, or perhaps to wait for
		c.put(time.Now())
	} else {
		c.passOn()
	}
	return r
}

func (c *Conn) readable() bool { return !c.parked() && c.t.Readable() }

// Write queues all of p for sending, behind all of any Write that has begun
// before, and waits for room as needed. It returns
// once all is queued, not when it has arrived. Errors are *net.OpError around
// net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, EPIPE, ETIMEDOUT.
func (c *Conn) Write(p []byte) (int, error) { return c.write(p, false) }

func (c *Conn) write(p []byte, urgent bool) (n int, err error) {
	if err = c.beginWrite(); err == nil {
		if urgent && c.t != nil {
			c.t.Urge(len(p))
		}
		n, err = c.writeAll(p)
		c.endWrite()
	}
	return n, c.opError("write", err)
}

// beginWrite waits until no other Write is under way, so that each goes out whole.
// Without an error the caller has the token, and ends with endWrite.
func (c *Conn) beginWrite() error {
	err := c.await(&c.nextWriters, &c.writeDeadline, func() bool { return !c.writing })
	if err == nil && c.t != nil {
		c.writing = true
		c.unpark()
	}
	return err
}

func (c *Conn) endWrite() {
	c.writing = false
	c.put(time.Now())
}

// writeAll writes p, in as many turns as it takes. The caller has the token before
// and after it.
func (c *Conn) writeAll(p []byte) (n int, err error) {
	for ready := c.writable; ; {
		if c.t == nil {
			return n, c.ended.WriteErr
		}
		now := time.Now()
		if len(p) == 0 {
			return 0, c.t.WriteNothing(now)
		}
		begun := ready()
		if begun {
			m, err := c.t.Write(now, p[n:min(len(p), n+maxChunk)])
			if n += m; err != nil || n == len(p) {
				return n, err
			}
		}
		if ready = c.writable; begun && c.hasRoom() {
			ready = c.hasRoom
			c.release() // without having sent anything, so that trains are whole
		} else {
			c.put(now)
		}
		if err = c.await(&c.writers, &c.writeDeadline, ready); err != nil {
			c.take()
			return n, err
		}
	}
}

func (c *Conn) writable() bool { return !c.parked() && c.t.Writable() }

// hasRoom says whether a Write that is under way may go on.
func (c *Conn) hasRoom() bool { return !c.parked() && c.t.HasRoom() }

// WriteTo writes what arrives to w until the peer closes, without a copy of
// its own: w sees the packets' memory. It implements io.WriterTo, so io.Copy
// uses it.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for {
		r := c.read(nil)
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
		return nil
	}
	c.take()
	c.closeTurn()
	return nil
}

// closeTurn ends a turn with a close, after which nobody reads.
func (c *Conn) closeTurn() {
	now := time.Now()
	if c.t == nil {
		c.ended.Discard()
	} else {
		c.unpark()
		c.t.Close(now)
	}
	c.wakeAll()
	c.put(now)
}

// linger closes, and waits until all is delivered, for so long at most as the
// user has said; then it aborts.
func (c *Conn) linger() {
	c.take()
	if c.t == nil {
		c.closeTurn()
		return
	}
	drained, d := make(chan struct{}), c.t.Options().Linger
	c.drained = drained
	c.closeTurn()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		c.do(func(_ time.Time, t *machine.TCB) { t.Abort(nil) })
	}
}

// discard gives back what nobody will read of a connection that has ended.
func (c *Conn) discard() {
	c.take()
	c.ended.Discard()
	c.release()
}

// CloseWrite sends a FIN behind what was written: the peer reads to its end,
// and can go on sending.
func (c *Conn) CloseWrite() error {
	return c.shutdown(func(now time.Time, t *machine.TCB) { t.CloseWrite(now) })
}

// CloseRead says that no more will be read. What arrives is thrown away, and
// Read returns io.EOF.
func (c *Conn) CloseRead() error {
	return c.shutdown(func(_ time.Time, t *machine.TCB) { t.CloseRead() })
}

// shutdown closes one direction. Of a connection that has ended the error is
// ENOTCONN, as that of shutdown(2).
func (c *Conn) shutdown(direction func(now time.Time, t *machine.TCB)) error {
	if c.isClosed.Load() {
		return c.opError("close", net.ErrClosed)
	}
	var err error = syscall.ENOTCONN
	c.do(func(now time.Time, t *machine.TCB) {
		if !t.Closed() {
			direction(now, t)
			err = nil
		}
	})
	return c.opError("close", err)
}

// call is do for a method that returns an error after Close.
func (c *Conn) call(op string, f func(now time.Time, t *machine.TCB)) error {
	if c.isClosed.Load() {
		return c.opError(op, net.ErrClosed)
	}
	c.do(f)
	return nil
}

// callSet is call for what package net asks of the descriptor alone.
func (c *Conn) callSet(f func(now time.Time, t *machine.TCB)) error {
	if c.isClosed.Load() {
		return c.setError(net.ErrClosed)
	}
	c.do(f)
	return nil
}

// LocalAddr returns the *net.TCPAddr of this end.
func (c *Conn) LocalAddr() net.Addr { return netAddrOf(c.flow.Local) }

// RemoteAddr returns the *net.TCPAddr of the peer.
func (c *Conn) RemoteAddr() net.Addr { return netAddrOf(c.flow.Remote) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// WriteUrgent writes p as Write does, and marks it as urgent: the peer is told
// at once, even while its window is closed, that there is something behind what
// it has read which it should hurry to. Urgent data stays in line (RFC 9293
// section 3.8.5, MUST-30). New protocols should not use it (SHLD-13, RFC 6093).
func (c *Conn) WriteUrgent(p []byte) (int, error) {
	return c.write(p, true)
}

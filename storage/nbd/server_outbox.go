package nbd

import (
	"net"
	"sync/atomic"
)

// An outbox writes the replies of one connection. Nobody waits to write: whoever
// has made a reply queues it, and if no one is writing, takes the pen (a channel of
// capacity one) and writes all that is queued, in one system call where the
// connection can. So replies that become ready while another is being written go
// out together, and one that is alone is written by whoever made it, without a
// hop to another goroutine.
type outbox struct {
	conn  net.Conn
	queue chan *task // as long as there are tasks: queueing never blocks
	free  chan *task // as well
	pen   chan struct{}

	// Of whoever has the pen.
	parts  net.Buffers
	header net.Buffers // parts, consumed by writing
	tasks  []*task
	flat   []byte // for connections that take one slice at a time

	vectored bool
	broken   atomic.Bool // a write has failed: replies are dropped
}

// Replies that are written at once.
const (
	maxBatchParts = 256
	maxBatchBytes = 1 << 20
	flatSize      = 64 << 10
)

func newOutbox(conn net.Conn, tasks int) *outbox {
	o := &outbox{
		conn:  conn,
		queue: make(chan *task, tasks),
		free:  make(chan *task, tasks),
		pen:   make(chan struct{}, 1),
	}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn: // those that net.Buffers knows
		o.vectored = true
	}
	return o
}

// send queues the reply of t, and writes if nobody does.
func (o *outbox) send(t *task) {
	o.queue <- t
	o.push()
}

// push writes what is queued unless somebody else does, who then sees it: a reply
// queued after the other has looked for the last time finds the pen free.
func (o *outbox) push() {
	for len(o.queue) > 0 {
		select {
		case o.pen <- struct{}{}:
		default:
			return
		}
		o.writeQueued(nil)
		<-o.pen
	}
}

// flush writes the replies of batch and then what is queued, and waits for the pen
// if it must. The tasks of batch are the caller's again.
func (o *outbox) flush(batch []*task) {
	o.pen <- struct{}{}
	o.writeQueued(batch)
	<-o.pen
	o.push()
}

// writeQueued writes batch and the queue until it is empty, with the pen.
func (o *outbox) writeQueued(batch []*task) {
	bytes := 0
	add := func(t *task) {
		for _, p := range t.parts {
			o.parts = append(o.parts, p)
			bytes += len(p)
		}
		if len(o.parts) >= maxBatchParts || bytes >= maxBatchBytes {
			o.write()
			bytes = 0
		}
	}
	for _, t := range batch {
		add(t)
	}
	for {
		select {
		case t := <-o.queue:
			o.tasks = append(o.tasks, t)
			add(t)
			continue
		default:
		}
		if len(o.parts) == 0 {
			break
		}
		o.write()
		bytes = 0
	}
}

// write writes the parts. Then their tasks are free.
func (o *outbox) write() {
	if !o.broken.Load() {
		if err := o.writeParts(); err != nil {
			o.broken.Store(true)
			o.conn.Close() // wakes the reader
		}
	}
	clear(o.parts)
	o.parts = o.parts[:0]
	for i, t := range o.tasks {
		o.free <- t
		o.tasks[i] = nil
	}
	o.tasks = o.tasks[:0]
}

func (o *outbox) writeParts() error {
	if len(o.parts) == 1 {
		_, err := o.conn.Write(o.parts[0])
		return err
	}
	if o.vectored {
		o.header = o.parts
		_, err := o.header.WriteTo(o.conn)
		return err
	}
	return o.writeFlat()
}

// writeFlat copies small parts together, so that a header does not go out alone, for
// TLS and for stacks of ours. (WriteBuffers of the latter costs more than the copy up to
// some 64 KB, and two segments in place of one; see doc/measured.md.)
func (o *outbox) writeFlat() error {
	if o.flat == nil {
		o.flat = make([]byte, 0, flatSize)
	}
	flat := o.flat[:0]
	for _, p := range o.parts {
		for len(p) > 0 {
			if len(flat) == 0 && len(p) >= flatSize {
				if _, err := o.conn.Write(p); err != nil {
					return err
				}
				break
			}
			n := min(len(p), flatSize-len(flat))
			flat = append(flat, p[:n]...)
			p = p[n:]
			if len(flat) == flatSize {
				if _, err := o.conn.Write(flat); err != nil {
					return err
				}
				flat = flat[:0]
			}
		}
	}
	if len(flat) == 0 {
		return nil
	}
	_, err := o.conn.Write(flat)
	return err
}

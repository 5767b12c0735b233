package iscsi

import (
	"net"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// push writes what the machine has to say, unless somebody else does, who then sees it:
// what is said after the other has looked for the last time finds the pen free.
func (p *process) push() {
	for p.pending.Load() {
		select {
		case p.pen <- struct{}{}:
		default:
			return
		}
		p.write()
		<-p.pen
	}
}

// write writes all there is, and gives the tasks back that have been answered. The
// caller has the pen.
func (p *process) write() {
	w := &p.writer
	m := p.machine
	p.token <- struct{}{}
	p.pending.Store(false)
	w.batch, m.out = m.out, w.batch[:0]
	<-p.token
	if !w.broken {
		if err := w.write(); err != nil {
			w.broken = true
			p.conn.Close() // wakes the reader
		}
	}
	p.token <- struct{}{}
	for i := range w.batch {
		if t := w.batch[i].task; t != nil {
			m.recycle(t)
		}
		w.batch[i] = output{}
	}
	p.collect()
	<-p.token
	select {
	case p.room <- struct{}{}:
	default:
	}
}

// A writer writes PDUs to a connection. It belongs to whoever has the pen.
type writer struct {
	conn     net.Conn
	digests  digests
	vectored bool // one system call takes many slices
	broken   bool
	batch    []output
	buffers  *buffers.Pool // of headers, small data, padding and digests
	parts    net.Buffers
	given    net.Buffers // parts, consumed by writing
}

// Sizes of what is written at once.
const (
	smallData    = 1 << 10 // is copied behind its header
	largestHeads = 64 << 10
	pduOverhead  = headerSize + 2*digestSize + 3
)

func newWriter(conn net.Conn, d digests, pool *buffers.Pool) writer {
	w := writer{conn: conn, digests: d, buffers: pool}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn: // those that net.Buffers knows
		w.vectored = true
	}
	return w
}

// write writes the batch.
func (w *writer) write() error {
	for rest := w.batch; len(rest) > 0; {
		n, size := 0, 0
		for ; n < len(rest); n++ {
			more := pduOverhead
			if d := len(rest[n].data); d <= smallData || !w.vectored {
				more += d
			}
			if size+more > largestHeads && n > 0 {
				break
			}
			size += more
		}
		if err := w.writeSome(rest[:n], size); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// writeSome writes these, whose headers and what is copied take at most size bytes.
func (w *writer) writeSome(some []output, size int) error {
	buf := w.buffers.Get(size)
	defer w.buffers.Put(buf)
	heads, start := buf.Bytes[:0], 0
	w.parts = w.parts[:0]
	for i := range some {
		o := &some[i]
		heads = appendHeader(heads, &o.header, nil, len(o.data), w.digests)
		if len(o.data) <= smallData || !w.vectored {
			heads = append(heads, o.data...)
		} else {
			w.parts = append(w.parts, heads[start:], o.data)
			start = len(heads)
		}
		heads = appendTail(heads, o.data, w.digests)
	}
	if start < len(heads) {
		w.parts = append(w.parts, heads[start:])
	}
	defer clear(w.parts)
	if len(w.parts) == 1 {
		_, err := w.conn.Write(w.parts[0])
		return err
	}
	w.given = w.parts
	_, err := w.given.WriteTo(w.conn)
	return err
}

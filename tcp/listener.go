package tcp

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/deadline"
)

// A Listener accepts connections. It is a net.Listener, and its methods may be
// called from any goroutine.
type Listener struct {
	local    endpoint
	calls    *Sockets
	accept   chan *Conn // filled by the demultiplexer only
	closed   chan struct{}
	isClosed atomic.Bool
	deadline deadline.Deadline

	// Of the demultiplexer:
	fastOpenLimit   int       // how many connections may be accepted in SYN-RECEIVED
	fastOpenPending int       // and how many are
	cookiesUntil    time.Time // the last SYN cookie is good for so long
}

// Accept waits for the next connection. Errors are *net.OpError around
// net.ErrClosed or os.ErrDeadlineExceeded.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptTCP is Accept with the type that it returns.
func (l *Listener) AcceptTCP() (*Conn, error) {
	passed := l.deadline.Passed()
	switch {
	case isClosed(l.closed):
		return nil, l.opError("accept", net.ErrClosed)
	case isClosed(passed):
		return nil, l.opError("accept", os.ErrDeadlineExceeded)
	}
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, l.opError("accept", net.ErrClosed)
	case <-passed:
		return nil, l.opError("accept", os.ErrDeadlineExceeded)
	}
}

// Close ends listening. Connections that nobody has accepted are reset.
func (l *Listener) Close() error {
	if l.isClosed.Swap(true) {
		return l.opError("close", net.ErrClosed)
	}
	l.deadline.Stop()
	l.calls.ask(func(_ time.Time, d *demux) { d.unlisten(l) })
	return nil
}

// Addr returns the *net.TCPAddr that the listener is bound to.
func (l *Listener) Addr() net.Addr { return l.local.netAddr() }

// SetDeadline sets the deadline of Accept; the zero time means none.
func (l *Listener) SetDeadline(t time.Time) error {
	if isClosed(l.closed) {
		return l.opError("set", net.ErrClosed)
	}
	l.deadline.Set(t)
	return nil
}

func (l *Listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.Addr(), Err: err}
}

// listen is a passive OPEN (RFC 9293 section 3.10.1, MUST-41 to MUST-43).
func (d *demux) listen(s *Sockets, at endpoint) (*Listener, error) {
	switch {
	case d.closing:
		return nil, net.ErrClosed
	case at.ip != [4]byte{} && !d.cfg.Table.IsLocal(at.addr()):
		return nil, syscall.EADDRNOTAVAIL
	case at.port == 0:
		p, ok := d.ports.Choose(at.addr(), flow{}.remote.addrPort(), func(p uint16) bool { return d.portUses[p] > 0 })
		if !ok {
			return nil, syscall.EADDRINUSE
		}
		at.port = p
	}
	if _, taken := d.listeners[at]; taken {
		return nil, syscall.EADDRINUSE
	}
	l := &Listener{
		local: at, calls: s,
		accept: make(chan *Conn, d.cfg.Backlog), closed: make(chan struct{}),
	}
	d.listeners[at] = l
	d.portUses[at.port]++
	return l, nil
}

// unlisten ends a listener, and the connections that wait in it.
func (d *demux) unlisten(l *Listener) {
	if d.listeners[l.local] != l {
		return
	}
	delete(d.listeners, l.local)
	d.unusePort(l.local.port)
	close(l.closed)
	for {
		select {
		case c := <-l.accept:
			if !d.tell(c, func(_ time.Time, t *tcb) { t.abandon(nil) }) {
				c.discard() // of one that has ended by itself
			}
		default:
			return
		}
	}
}

package tcp

import (
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/internal/deadline"
	"github.com/seed-012105e5/gonet/tcp/machine"
)

// A Listener accepts connections. It is a net.Listener, and its methods may be
// called from any goroutine.
type Listener struct {
	isV4     bool // errors call the network "tcp4"
	calls    *Sockets
	accept   chan *Conn // filled by the demultiplexer only
	closed   chan struct{}
	isClosed atomic.Bool
	deadline deadline.Deadline

	passive machine.Listener // of the demultiplexer, but for what does not change
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
func (l *Listener) Addr() net.Addr { return netAddrOf(l.passive.Local) }

// SetDeadline sets the deadline of Accept; the zero time means none.
func (l *Listener) SetDeadline(t time.Time) error {
	if isClosed(l.closed) {
		return l.opError("set", net.ErrClosed)
	}
	l.deadline.Set(t)
	return nil
}

func (l *Listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: networkName(l.isV4), Addr: l.Addr(), Err: err}
}

// SetFastOpen says how many connections may be accepted by the SYN alone and
// wait for the rest of the handshake; 0, the default, switches Fast Open off
// for the listener, as listen(2) leaves it without TCP_FASTOPEN (RFC 7413
// section 4.2).
//
// Such a connection saves its client a round trip. But its first text may
// come twice, on two connections, when the network has doubled the SYN; so
// this is for services whose requests can bear that (section 2.1).
func (l *Listener) SetFastOpen(pending int) error {
	if !l.calls.ask(func(_ time.Time, d *demux) { l.passive.FastOpenLimit = pending }) || isClosed(l.closed) {
		return l.opError("set", net.ErrClosed)
	}
	return nil
}

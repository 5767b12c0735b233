package tcp

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/edge"
)

// Sockets is how users reach the demultiplexer of a stack.
type Sockets struct {
	calls edge.Out[Call]
	ended <-chan struct{} // closed when Demux has returned
}

// NewSockets returns the Sockets that sends its questions on calls. Ended is
// closed when the Demux at the other end has returned.
func NewSockets(calls edge.Out[Call], ended <-chan struct{}) *Sockets {
	return &Sockets{calls, ended}
}

// ask has the demultiplexer run f, and waits for it. It returns false, and f
// is not run, when the stack has ended.
func (s *Sockets) ask(f Call) bool {
	ran := make(chan struct{})
	if !s.calls.SendUnless(func(now time.Time, d *demux) { f(now, d); close(ran) }, s.ended) {
		return false
	}
	select {
	case <-ran:
		return true
	case <-s.ended:
		return isClosed(ran)
	}
}

// Listen listens on local; an unspecified address stands for all addresses of
// the stack, port 0 for a free one. Errors are *net.OpError around
// syscall.EADDRINUSE, EADDRNOTAVAIL, or net.ErrClosed.
func (s *Sockets) Listen(local netip.AddrPort) (*Listener, error) {
	return s.ListenWith(local, ListenOptions{})
}

// Shutdown ends all listeners and connections. Peers get a reset. It returns
// when no connection is left.
func (s *Sockets) Shutdown() {
	idle := make(chan struct{})
	if s.ask(func(_ time.Time, d *demux) { d.shutdown(idle) }) {
		<-idle
	}
}

func (d *demux) shutdown(idle chan struct{}) {
	d.closeAll()
	d.idle = append(d.idle, idle)
	d.tellIdle(time.Now())
}

// Connections returns the state of all connections, and of those in TIME-WAIT,
// in no order.
func (s *Sockets) Connections() []Info {
	var conns []*Conn
	var infos []Info
	s.ask(func(_ time.Time, d *demux) {
		conns = slices.AppendSeq(conns, maps.Values(d.conns))
		infos = d.Infos(infos)
	})
	for _, c := range conns {
		infos = append(infos, c.Info())
	}
	return infos
}

package tcp

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/machine"
)

// ListenOptions says how to listen. Its zero value is a listener that has its
// address for itself, and whose connections begin as Config says.
type ListenOptions struct {
	// Network is what errors call it: "tcp4", or "tcp", which "" stands for.
	Network string

	// Options are what accepted connections begin with.
	Options ConnOptions

	// Share has several listeners at one address, like SO_REUSEPORT: a program
	// that takes over from another, or that accepts in several places. All of
	// them must say the same.
	Share Share
}

// ListenWith is Listen with options.
func (s *Sockets) ListenWith(local netip.AddrPort, o ListenOptions) (*Listener, error) {
	var l *Listener
	err := net.ErrClosed
	s.ask(func(_ time.Time, d *demux) { l, err = d.listen(s, ip.EndpointOfAddrPort(local), &o) })
	if err != nil {
		return nil, &net.OpError{
			Op: "listen", Net: networkName(o.Network == "tcp4"),
			Addr: net.TCPAddrFromAddrPort(local), Err: wrapErrno("listen", err),
		}
	}
	return l, nil
}

// listen is a passive OPEN (RFC 9293 section 3.10.1, MUST-41 to MUST-43).
func (d *demux) listen(s *Sockets, at ip.Endpoint, o *ListenOptions) (*Listener, error) {
	opts := o.Options.over(d.Options())
	if err := d.CheckOptions(opts); err != nil {
		return nil, err
	}
	switch {
	case d.closing:
		return nil, net.ErrClosed
	case !at.IsWildcard() && !d.cfg.Table.Load().IsLocal(at.Addr()):
		return nil, syscall.EADDRNOTAVAIL
	case at.Port == 0:
		p, ok := d.ports.Choose(func(p uint16) bool { return d.portUses[p] > 0 })
		if !ok {
			return nil, syscall.EADDRINUSE
		}
		at.Port = p
	}
	l := &Listener{
		passive: machine.Listener{Local: at, Share: o.Share, Opts: opts}, isV4: o.Network == "tcp4", calls: s,
		accept: make(chan *Conn, d.cfg.Backlog), closed: make(chan struct{}),
	}
	if !d.AddListener(&l.passive) {
		return nil, syscall.EADDRINUSE
	}
	d.servers[&l.passive] = l
	d.portUses[at.Port]++
	return l, nil
}

// unlisten ends a listener. The connections that wait in it go to those that
// share its address; otherwise they end too.
func (d *demux) unlisten(l *Listener) {
	if !d.RemoveListener(&l.passive) {
		return
	}
	delete(d.servers, &l.passive)
	d.unusePort(l.passive.Local.Port)
	close(l.closed)
	for {
		select {
		case c := <-l.accept:
			d.inherit(l, c)
		default:
			return
		}
	}
}

// inherit finds a listener for a connection that has waited in l.
func (d *demux) inherit(l *Listener, c *Conn) {
	if next := d.Successor(&l.passive, c.flow); next != nil && d.Room(next) {
		d.servers[next].accept <- c
		return
	}
	d.abandon(c)
}

// evictUnaccepted resets the connection that has waited longest in the fullest
// listener, since memory is short, and nobody has it yet.
func (d *demux) evictUnaccepted() {
	var fullest *Listener
	for _, l := range d.servers {
		if len(l.accept) > 0 && (fullest == nil || len(l.accept) > len(fullest.accept)) {
			fullest = l
		}
	}
	if fullest == nil {
		return
	}
	select {
	case c := <-fullest.accept:
		d.stats.UnacceptedEvicted.Add(1)
		d.abandon(c)
	default: // it has been accepted in this moment
	}
}

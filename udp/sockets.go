package udp

import (
	"net"
	"net/netip"
	"syscall"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
)

// Sockets makes sockets. Its methods may be called by any number of
// goroutines.
type Sockets struct {
	calls edge.Out[Call]
	tx    ip.Edges
	joins edge.Out[ip.Membership]
	ended <-chan struct{}
	cfg   Config
	stats *Stats
	isV4  bool // errors call the network "udp4"
}

// NewSockets returns the Sockets of the Demux that receives from calls. Tx
// leads to ipv4.Tx, and joins to ipv4.Rx; ended is closed when Demux has
// returned. Cfg and stats are those of Demux.
func NewSockets(calls edge.Out[Call], tx ip.Edges, joins edge.Out[ip.Membership], ended <-chan struct{}, cfg Config, stats *Stats) *Sockets {
	return &Sockets{calls, tx, joins, ended, cfg.withDefaults(), stats, false}
}

var (
	anyAddr  = netip.IPv4Unspecified()
	loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
)

// Named is s for sockets whose errors call the network by that name, as the user
// has: "udp4", or "udp".
func (s *Sockets) Named(network string) *Sockets {
	named := *s
	named.isV4 = network == "udp4"
	return &named
}

// Listen returns a socket that takes datagrams for local from anybody. The
// address is an own one, a broadcast address, a multicast group (whose
// datagrams come only after [Conn.JoinGroup]), or the unspecified or zero Addr
// for all of these. Port 0 means an ephemeral port. One socket at most is
// bound to a port of an address, but any number to one of a group. The error
// is a *net.OpError around EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, ENOBUFS or
// net.ErrClosed.
func (s *Sockets) Listen(local netip.AddrPort) (*Conn, error) {
	c, err := s.listen(local)
	if err != nil {
		return nil, s.opError("listen", "bind", nil, net.UDPAddrFromAddrPort(local), err)
	}
	return c, nil
}

func (s *Sockets) listen(local netip.AddrPort) (*Conn, error) {
	a, err := localAddr(local.Addr())
	if err != nil {
		return nil, err
	}
	if a != anyAddr && !a.IsMulticast() && !s.cfg.Table.Load().IsBroadcast(a) && !s.cfg.Table.Load().IsLocal(a) {
		return nil, syscall.EADDRNOTAVAIL
	}
	return s.open(netip.AddrPortFrom(a, local.Port()), netip.AddrPort{})
}

// Dial returns a socket that is connected: it exchanges datagrams with remote
// alone, and hears of ICMP errors about them. Local is the zero AddrPort, or
// an own address, the unspecified address or a port of choice; one that only
// other sockets are bound to which are not connected may be shared. A remote
// that is unspecified is this host. The error is a *net.OpError around
// EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, ENETUNREACH, ENOBUFS or
// net.ErrClosed.
func (s *Sockets) Dial(local, remote netip.AddrPort) (*Conn, error) {
	c, err := s.dial(local, remote)
	if err != nil {
		return nil, s.opError("dial", "connect", udpAddr(local), net.UDPAddrFromAddrPort(remote), err)
	}
	return c, nil
}

func (s *Sockets) dial(local, remote netip.AddrPort) (*Conn, error) {
	a, err := localAddr(local.Addr())
	if err != nil {
		return nil, err
	}
	if remote, err = remoteAddr(remote); err != nil {
		return nil, err
	}
	if a, err = s.source(a, remote.Addr()); err != nil {
		return nil, err
	}
	return s.open(netip.AddrPortFrom(a, local.Port()), remote)
}

// Shutdown closes all sockets, and lets no new ones be made.
func (s *Sockets) Shutdown() {
	var all []*Conn
	if s.ask(func(t *table) error { t.down, all = true, t.all(); return nil }) != nil {
		return
	}
	for _, c := range all {
		c.Close() // fails only where the user was faster
	}
}

// open makes a socket and binds it.
func (s *Sockets) open(local, remote netip.AddrPort) (*Conn, error) {
	c := s.newConn(local, remote)
	if err := s.ask(func(t *table) error { return t.bind(c) }); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *Sockets) newConn(local, remote netip.AddrPort) *Conn {
	c := &Conn{
		sockets:    s,
		local:      local,
		remote:     remote,
		queue:      newQueue(),
		failure:    make(chan error, 1),
		icmpErrors: make(chan ip.ICMPError, maxICMPErrors),
		closed:     make(chan struct{}),
		groups:     make(chan []membership, 1),
	}
	c.SetReadBuffer(s.cfg.ReadBuffer)
	c.options.Store(&options{})
	c.groups <- nil
	return c
}

// ask lets Demux call f, and returns what f returns.
func (s *Sockets) ask(f func(*table) error) error {
	answer := make(chan error, 1)
	if !s.calls.SendUnless(func(t *table) { answer <- f(t) }, s.ended) {
		return net.ErrClosed
	}
	select {
	case err := <-answer:
		return err
	case <-s.ended:
		return net.ErrClosed
	}
}

// release lets Demux forget c.
func (s *Sockets) release(c *Conn) {
	s.calls.SendUnless(func(t *table) { t.unbind(c); c.drain() }, s.ended)
}

// member lets ipv4.Rx join or leave a group.
func (s *Sockets) member(m membership, join bool) error {
	done := make(chan error, 1)
	if !s.joins.SendUnless(ip.Membership{Link: m.link, Group: m.group, Join: join, Done: done}, s.ended) {
		return net.ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-s.ended:
		return net.ErrClosed
	}
}

// source is the address that a datagram to dst comes from, local being the
// choice of the user: one of the host's addresses (RFC 1122 section 4.1.3.6),
// and none of 127.0.0.0/8 outside of the host (section 3.2.1.3).
func (s *Sockets) source(local, dst netip.Addr) (netip.Addr, error) {
	routes := s.cfg.Table.Load()
	hop, ok := routes.Lookup(dst)
	switch {
	case !ok:
		return local, syscall.ENETUNREACH
	case local != anyAddr && !routes.IsLocal(local):
		return local, syscall.EADDRNOTAVAIL
	case local.IsLoopback() && !hop.Local:
		return local, syscall.EINVAL
	case local != anyAddr:
		return local, nil
	}
	src, ok := routes.Source(dst)
	switch {
	case ok:
		return src, nil
	case hop.Broadcast:
		return anyAddr, nil // a host that does not know its address yet may ask all (section 3.2.1.3)
	}
	return src, syscall.ENETUNREACH
}

// localAddr brings the address of a socket to its plain form.
func localAddr(a netip.Addr) (netip.Addr, error) {
	switch a = a.Unmap(); {
	case !a.IsValid() || a.IsUnspecified():
		return anyAddr, nil
	case !a.Is4():
		return a, syscall.EAFNOSUPPORT
	}
	return a, nil
}

// remoteAddr brings a destination to its plain form.
func remoteAddr(a netip.AddrPort) (netip.AddrPort, error) {
	switch addr := a.Addr().Unmap(); {
	case a.Port() == 0:
		return a, syscall.EINVAL
	case !addr.IsValid() || addr.IsUnspecified():
		return netip.AddrPortFrom(loopback, a.Port()), nil
	case !addr.Is4():
		return a, syscall.EAFNOSUPPORT
	default:
		return netip.AddrPortFrom(addr, a.Port()), nil
	}
}

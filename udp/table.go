package udp

import (
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/seed-012105e5/gonet/internal/port"
	"github.com/seed-012105e5/gonet/ip"
)

// A table knows which socket a datagram is for. Demux owns it.
type table struct {
	flows   map[ip.Flow]*Conn  // all sockets but those bound to a group
	ports   map[uint16][]*Conn // all sockets, in the order of their making
	count   int
	max     int
	down    bool // nothing is bound any more
	chooser *port.Chooser

	// quiet are ports that the last sockets had which have gone, the oldest to be
	// replaced at left: no ephemeral ones for now, since datagrams for those
	// sockets may still come.
	quiet [quietPorts]uint16
	left  int
}

// quietPorts is how many ports are not used again at once, a small part of all.
const quietPorts = 256

func newTable(max int, random func() uint64) *table {
	return &table{flows: map[ip.Flow]*Conn{}, ports: map[uint16][]*Conn{}, max: max, chooser: port.NewChooser(random)}
}

// bind enters c at its ends, having chosen the local port if that is 0. The
// error is net.ErrClosed, ENOBUFS or EADDRINUSE.
func (t *table) bind(c *Conn) error {
	switch {
	case t.down:
		return net.ErrClosed
	case t.count >= t.max:
		return syscall.ENOBUFS
	case c.local.Port() == 0:
		taken := func(p uint16) bool { return len(t.ports[p]) > 0 }
		p, ok := t.chooser.Choose(func(p uint16) bool { return taken(p) || slices.Contains(t.quiet[:], p) })
		if !ok {
			p, ok = t.chooser.Choose(taken)
		}
		if !ok {
			return syscall.EADDRINUSE
		}
		c.local = netip.AddrPortFrom(c.local.Addr(), p)
	case t.conflicts(c):
		return syscall.EADDRINUSE
	}
	if !c.isShared() {
		t.flows[c.flow()] = c
	}
	t.ports[c.local.Port()] = append(t.ports[c.local.Port()], c)
	t.count++
	return nil
}

// conflicts says whether datagrams for c would be for another socket as well.
// Sockets bound to a group share it; a connected socket takes what it is
// connected to from the unconnected one at the same port.
func (t *table) conflicts(c *Conn) bool {
	if c.isShared() {
		return false
	}
	if t.flows[c.flow()] != nil {
		return true
	}
	return !c.isConnected() && slices.ContainsFunc(t.ports[c.local.Port()], func(o *Conn) bool {
		return !o.isConnected() && !o.isShared() && (c.isWildcard() || o.isWildcard())
	})
}

// unbind removes c, if it is there.
func (t *table) unbind(c *Conn) {
	p := c.local.Port()
	i := slices.Index(t.ports[p], c)
	if i < 0 {
		return
	}
	if !c.isShared() {
		delete(t.flows, c.flow())
	}
	if t.ports[p] = slices.Delete(t.ports[p], i, i+1); len(t.ports[p]) == 0 {
		delete(t.ports, p)
		t.quiet[t.left] = p
		t.left = (t.left + 1) % quietPorts
	}
	t.count--
}

// find is the socket that speaks for local to remote: a connected one before
// one that is bound to the address, and that before a wildcard; nil when there
// is none.
func (t *table) find(local, remote ip.Endpoint) *Conn {
	if c := t.flows[ip.Flow{Local: local, Remote: remote}]; c != nil {
		return c
	}
	if c := t.flows[ip.Flow{Local: local}]; c != nil {
		return c
	}
	return t.flows[ip.Flow{Local: ip.Endpoint{Port: local.Port}}]
}

// all is every socket there is.
func (t *table) all() []*Conn {
	var all []*Conn
	for _, conns := range t.ports {
		all = append(all, conns...)
	}
	return all
}

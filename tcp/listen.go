package tcp

import (
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
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

// A Share says which of the listeners that share an address gets a connection.
// One that has no room is passed over. Who waits in a listener that is closed
// goes to the others.
type Share uint8

const (
	ShareNone   Share = iota // the address is not shared
	ShareByTurn              // each in its turn
	ShareByHash              // by the two ends of the connection, in a way that only this stack knows
)

// ListenWith is Listen with options.
func (s *Sockets) ListenWith(local netip.AddrPort, o ListenOptions) (*Listener, error) {
	var l *Listener
	err := net.ErrClosed
	s.ask(func(_ time.Time, d *demux) { l, err = d.listen(s, toEndpoint(local), &o) })
	if err != nil {
		return nil, &net.OpError{
			Op: "listen", Net: networkName(o.Network == "tcp4"),
			Addr: net.TCPAddrFromAddrPort(local), Err: wrapErrno("listen", err),
		}
	}
	return l, nil
}

// listen is a passive OPEN (RFC 9293 section 3.10.1, MUST-41 to MUST-43).
func (d *demux) listen(s *Sockets, at endpoint, o *ListenOptions) (*Listener, error) {
	opts, err := o.Options.socketOptions(&d.cfg)
	switch {
	case err != nil:
		return nil, err
	case d.closing:
		return nil, net.ErrClosed
	case at.ip != [4]byte{} && !d.cfg.Table.IsLocal(at.addr()):
		return nil, syscall.EADDRNOTAVAIL
	case at.port == 0:
		p, ok := d.ports.Choose(func(p uint16) bool { return d.portUses[p] > 0 })
		if !ok {
			return nil, syscall.EADDRINUSE
		}
		at.port = p
	}
	l := &Listener{
		local: at, isV4: o.Network == "tcp4", share: o.Share, opts: opts, calls: s,
		accept: make(chan *Conn, d.cfg.Backlog), closed: make(chan struct{}),
	}
	if !d.addListener(l) {
		return nil, syscall.EADDRINUSE
	}
	d.portUses[at.port]++
	return l, nil
}

// unlisten ends a listener. The connections that wait in it go to those that
// share its address; otherwise they end too.
func (d *demux) unlisten(l *Listener) {
	if !d.removeListener(l) {
		return
	}
	d.unusePort(l.local.port)
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
	if next := d.listeners[l.local].choose(&d.door, c.flow); next != nil && d.room(next) {
		next.accept <- c
		return
	}
	d.abandon(c)
}

// Listeners are those at one address: several, where they share it.
type listeners struct {
	all  []*Listener
	turn int // whose turn it is
}

// addListener adds l, unless another has its address for itself. An unspecified
// address is all addresses, but the listener of one of them comes first where they
// share.
func (d *door) addListener(l *Listener) bool {
	if d.listened[l.local.port] > 0 { // else there is no need to look at all listeners
		for at, others := range d.listeners {
			overlap := at == l.local || at.port == l.local.port && (at.ip == [4]byte{} || l.local.ip == [4]byte{})
			if overlap && (l.share == ShareNone || others.all[0].share != l.share) {
				return false
			}
		}
	}
	if d.listeners[l.local] == nil {
		d.listeners[l.local] = &listeners{}
		d.listened[l.local.port]++
	}
	d.listeners[l.local].all = append(d.listeners[l.local].all, l)
	return true
}

// removeListener takes l out, and says whether it was there.
func (d *door) removeListener(l *Listener) bool {
	at := d.listeners[l.local]
	if at == nil {
		return false
	}
	i := slices.Index(at.all, l)
	if i < 0 {
		return false
	}
	if at.all = slices.Delete(at.all, i, i+1); len(at.all) == 0 {
		delete(d.listeners, l.local)
		if d.listened[l.local.port]--; d.listened[l.local.port] == 0 {
			delete(d.listened, l.local.port)
		}
	}
	return true
}

// listenersAt are those that want SYNs for local: at the address itself, or at
// all addresses; nil when there are none.
func (d *door) listenersAt(local endpoint) *listeners {
	if at, ok := d.listeners[local]; ok {
		return at
	}
	return d.listeners[endpoint{port: local.port}]
}

// listener is the one for f, or nil.
func (d *door) listener(f flow) *Listener { return d.listenersAt(f.local).choose(d, f) }

// choose is the listener for f: who has room, if any has.
func (ls *listeners) choose(d *door, f flow) *Listener {
	if ls == nil {
		return nil
	}
	first := 0
	if n := len(ls.all); n > 1 {
		if first = ls.turn % n; ls.all[0].share == ShareByHash {
			first = int(d.secrets.share.Flow(f.local.addrPort(), f.remote.addrPort()) % uint64(n))
		}
		for i := range n {
			if l := ls.all[(first+i)%n]; d.host.room(l) {
				return l
			}
		}
	}
	return ls.all[first]
}

// give gives l a connection; then it is the next one's turn.
func (d *door) give(l *Listener, t *tcb) {
	if at := d.listeners[l.local]; len(at.all) > 1 {
		at.turn = slices.Index(at.all, l) + 1
	}
	d.host.opened(l, t)
}

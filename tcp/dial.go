package tcp

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// DialOptions says how to connect. Its zero value leaves all to the stack.
type DialOptions struct {
	// Local is where the connection begins. An unspecified address means that
	// which belongs to the way to the peer, port 0 a free one.
	Local netip.AddrPort

	// SourceRoute is the gateways by which all segments go, in this order: a
	// loose source route (RFC 9293 section 3.9.2.1), nine addresses at most.
	// Few networks let that pass (RFC 7126 section 4.3). None leaves the way to
	// the network.
	SourceRoute []netip.Addr

	// Network is what errors call it: "tcp4", or "tcp", which "" stands for.
	Network string

	// Options are what the connection begins with.
	Options ConnOptions
}

// thisHost is e, where an unspecified address means this host, as connect(2)
// has it.
func thisHost(e endpoint) endpoint {
	if e.addr().IsUnspecified() {
		e.ip = [4]byte{127, 0, 0, 1}
	}
	return e
}

// Dial connects to remote, an unspecified address being this host, and waits until the connection is established or
// ctx is done. Local may be the zero AddrPort, or have an unspecified address
// or port 0. Errors are *net.OpError around ctx.Err(), syscall.ECONNREFUSED,
// ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EADDRINUSE, EADDRNOTAVAIL, or
// net.ErrClosed.
func (s *Sockets) Dial(ctx context.Context, local, remote netip.AddrPort) (*Conn, error) {
	return s.DialWith(ctx, remote, DialOptions{Local: local})
}

// DialWith is Dial with options. The error is around EINVAL when the source
// route is impossible.
func (s *Sockets) DialWith(ctx context.Context, remote netip.AddrPort, o DialOptions) (*Conn, error) {
	return s.open(ctx, remote, activeOpen{DialOptions: o})
}

// An activeOpen is what an active OPEN begins with.
type activeOpen struct {
	DialOptions
	fastOpen bool   // with Fast Open, if that is possible,
	text     []byte // for this
}

// open makes a connection, and waits for its handshake.
func (s *Sockets) open(ctx context.Context, remote netip.AddrPort, o activeOpen) (*Conn, error) {
	c, err := s.begin(ctx, thisHost(toEndpoint(remote)), o)
	if err == nil {
		err = c.wait(ctx)
	}
	if err != nil {
		return nil, dialError(o.DialOptions, remote, err)
	}
	return c.Conn, nil
}

// begin has the demultiplexer begin a connection.
func (s *Sockets) begin(ctx context.Context, remote endpoint, o activeOpen) (c dialling, err error) {
	if err := ctx.Err(); err != nil {
		return c, err
	}
	route, err := newSourceRoute(o.SourceRoute, remote.addr())
	if err != nil {
		return c, err
	}
	err = net.ErrClosed
	s.ask(func(now time.Time, d *demux) { c, err = d.dial(now, remote, route, &o) })
	return c, err
}

// A dialling is a connection whose handshake somebody waits for.
type dialling struct {
	*Conn
	outcome <-chan error // nil when it is established, or why it is not
}

// wait waits for the handshake.
func (c dialling) wait(ctx context.Context) error {
	select {
	case err := <-c.outcome:
		return err
	case <-ctx.Done():
		c.isClosed.Store(true)
		c.do(func(_ time.Time, t *tcb) { t.abandon(ctx.Err()) })
		return ctx.Err()
	}
}

func (d *demux) dial(now time.Time, remote endpoint, route *sourceRoute, o *activeOpen) (dialling, error) {
	if o.fastOpen {
		if len(o.text) > d.cfg.sendLimit() {
			return dialling{}, syscall.EMSGSIZE
		}
		d.takeEvents() // of a handshake that the caller knows to be over
	}
	t, err := d.newActive(now, remote, route, &o.DialOptions)
	if err != nil {
		return dialling{}, err
	}
	if o.fastOpen {
		t.fastOpen = d.servers.attempt(now, t.flow)
		t.sendq.append(o.text)
	}
	t.open(now)
	outcome := make(chan error, 1)
	return dialling{d.start(t, o.Network == "tcp4", outcome), outcome}, nil
}

// newActive is the connection of an active OPEN (RFC 9293 section 3.10.1), still
// in CLOSED (MUST-44 to MUST-46). The errnos are those of connect(2).
func (d *demux) newActive(now time.Time, remote endpoint, route *sourceRoute, o *DialOptions) (*tcb, error) {
	to, local := remote.addr(), toEndpoint(o.Local)
	opts, err := o.Options.socketOptions(&d.cfg)
	switch {
	case err != nil:
		return nil, err
	case d.closing:
		return nil, net.ErrClosed
	case to.IsMulticast() || d.cfg.Table.IsBroadcast(to):
		return nil, syscall.ENETUNREACH
	case remote.port == 0:
		return nil, syscall.ECONNREFUSED // nobody can listen there
	}
	if local.ip == [4]byte{} {
		src, ok := d.cfg.Table.Source(route.towards(to))
		if !ok {
			return nil, syscall.ENETUNREACH
		}
		local.ip = src.As4()
	} else if !d.cfg.Table.IsLocal(local.addr()) {
		return nil, syscall.EADDRNOTAVAIL
	}
	f := flow{local, remote}
	d.takeEvents() // the user may know of an end that we do not
	if err := d.choosePort(now, &f); err != nil {
		return nil, err
	}
	old := d.timeWaits.reuse(f, d.stats)
	t := d.free.newTCB(&d.cfg, d.stats, f, d.initialSeq(now, f, old), d.mtu(flow{remote: toEndpoint(netip.AddrPortFrom(route.towards(to), 0))}))
	t.adopt(opts)
	t.beginControl(time.Time{})
	t.route = route
	t.tsOffset = d.secrets.timestampOffset(f)
	d.recall(now, t)
	return t, nil
}

// choosePort completes f with a local port, or checks the one that it has. A
// port in TIME-WAIT is taken, where that is safe, when it was asked for or
// there is no other. A connection to itself, from an own port to the same
// (section 3.5, figure 7), is only for who asks for it: with a port of our choice
// a dial where nobody listens would succeed now and then.
func (d *demux) choosePort(now time.Time, f *flow) error {
	if f.local.port != 0 {
		if d.flowTaken(*f) && !d.reusable(now, *f) {
			return syscall.EADDRINUSE
		}
		return nil
	}
	choose := func(taken func(flow) bool) (ok bool) {
		f.local.port, ok = d.ports.Choose(func(p uint16) bool {
			try := flow{endpoint{f.local.ip, p}, f.remote}
			return try.local == try.remote || d.listenersAt(try.local) != nil || taken(try)
		})
		return ok
	}
	if !choose(d.flowTaken) && !choose(func(try flow) bool { return !d.reusable(now, try) }) {
		return syscall.EADDRNOTAVAIL
	}
	return nil
}

func (d *demux) flowTaken(f flow) bool {
	_, connected := d.conns[f]
	_, waiting := d.timeWaits.byFlow[f]
	_, opening := d.halfOpens.byFlow[f]
	return connected || waiting || opening
}

// reusable says whether f is in TIME-WAIT, and may be opened anew.
func (d *demux) reusable(now time.Time, f flow) bool {
	tw, waiting := d.timeWaits.byFlow[f]
	_, connected := d.conns[f]
	return waiting && !connected && tw.reusable(now, &d.cfg)
}

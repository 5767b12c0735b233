package tcp

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/machine"
	"github.com/seed-012105e5/gonet/tcp/segment"
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

var loopbackAddr = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// thisHost is e, where an unspecified address means this host, as connect(2)
// has it.
func thisHost(e ip.Endpoint) ip.Endpoint {
	if e.IsWildcard() {
		return ip.EndpointOf(loopbackAddr, e.Port)
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
	return s.open(ctx, remote, dialCall{DialOptions: o})
}

// A dialCall is what is known of a connection that is to be dialled.
type dialCall struct {
	DialOptions
	opening machine.ActiveOpen
}

// open makes a connection, and waits for its handshake.
func (s *Sockets) open(ctx context.Context, remote netip.AddrPort, o dialCall) (*Conn, error) {
	c, err := s.begin(ctx, thisHost(ip.EndpointOfAddrPort(remote)), o)
	if err == nil {
		err = c.wait(ctx)
	}
	if err != nil {
		return nil, dialError(o.DialOptions, remote, err)
	}
	return c.Conn, nil
}

// begin has the demultiplexer begin a connection.
func (s *Sockets) begin(ctx context.Context, remote ip.Endpoint, o dialCall) (c dialling, err error) {
	if err := ctx.Err(); err != nil {
		return c, err
	}
	if o.opening.Route, err = segment.NewSourceRoute(o.SourceRoute, remote.Addr()); err != nil {
		return c, err
	}
	err = net.ErrClosed
	s.ask(func(now time.Time, d *demux) { c, err = d.dial(now, remote, &o) })
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
		c.do(func(_ time.Time, t *machine.TCB) { t.Abandon(ctx.Err()) })
		return ctx.Err()
	}
}

// dial begins the connection of an active OPEN.
func (d *demux) dial(now time.Time, remote ip.Endpoint, o *dialCall) (dialling, error) {
	f, err := d.newFlow(now, remote, o)
	if err != nil {
		return dialling{}, err
	}
	outcome := make(chan error, 1)
	return dialling{d.start(d.Open(now, f, &o.opening), o.Network == "tcp4", outcome), outcome}, nil
}

// newFlow is the flow of an active OPEN to remote (RFC 9293 section 3.10.1, MUST-44
// to MUST-46), which may be opened. It completes o. The errnos are those of
// connect(2).
func (d *demux) newFlow(now time.Time, remote ip.Endpoint, o *dialCall) (f ip.Flow, err error) {
	to, local := remote.Addr(), ip.EndpointOfAddrPort(o.Local)
	o.opening.Opts = o.Options.over(d.Options())
	if err := d.CheckOptions(o.opening.Opts); err != nil {
		return f, err
	}
	switch {
	case len(o.opening.Text) > d.SendLimit():
		return f, syscall.EMSGSIZE
	case d.closing:
		return f, net.ErrClosed
	case to.IsMulticast() || d.cfg.Table.Load().IsBroadcast(to):
		return f, syscall.ENETUNREACH
	case remote.Port == 0:
		return f, syscall.ECONNREFUSED // nobody can listen there
	}
	if local.IsWildcard() {
		src, ok := d.cfg.Table.Load().Source(o.opening.Route.Towards(to))
		if !ok {
			return f, syscall.ENETUNREACH
		}
		local = ip.EndpointOf(src, local.Port)
	} else if !d.cfg.Table.Load().IsLocal(local.Addr()) {
		return f, syscall.EADDRNOTAVAIL
	}
	f = ip.Flow{Local: local, Remote: remote}
	d.takeEvents() // the user may know of an end, or of a handshake, that we do not
	return f, d.choosePort(now, &f)
}

// choosePort completes f with a local port, or checks the one that it has. A
// port in TIME-WAIT is taken, where that is safe, when it was asked for or
// there is no other. A connection to itself, from an own port to the same
// (section 3.5, figure 7), is only for who asks for it: with a port of our choice
// a dial where nobody listens would succeed now and then.
func (d *demux) choosePort(now time.Time, f *ip.Flow) error {
	if f.Local.Port != 0 {
		if d.flowTaken(*f) && !d.reusable(now, *f) {
			return syscall.EADDRINUSE
		}
		return nil
	}
	choose := func(taken func(ip.Flow) bool) (ok bool) {
		f.Local.Port, ok = d.ports.Choose(func(p uint16) bool {
			try := *f
			try.Local.Port = p
			return try.Local == try.Remote || d.Listens(try.Local) || taken(try)
		})
		return ok
	}
	if !choose(d.flowTaken) && !choose(func(try ip.Flow) bool { return !d.reusable(now, try) }) {
		return syscall.EADDRNOTAVAIL
	}
	return nil
}

func (d *demux) flowTaken(f ip.Flow) bool {
	_, connected := d.conns[f]
	return connected || d.Taken(f)
}

// reusable says whether f is in TIME-WAIT, and may be opened anew.
func (d *demux) reusable(now time.Time, f ip.Flow) bool {
	_, connected := d.conns[f]
	return !connected && d.Tables.Reusable(now, f)
}

// DialFastOpen is Dial followed by a Write of data, in one: where the server
// has given us a cookie on an earlier connection, data goes with the SYN, as
// much as fits, and is there a round trip earlier (RFC 7413). The first
// connection to a server asks for the cookie.
//
// The server may see data twice, on two connections, when the network has
// doubled the SYN; so this is for requests that can be repeated (section 2.1).
// Data that does not fit Config.SendBuffer is syscall.EMSGSIZE.
func (s *Sockets) DialFastOpen(ctx context.Context, local, remote netip.AddrPort, data []byte) (*Conn, error) {
	return s.DialFastOpenWith(ctx, remote, DialOptions{Local: local}, data)
}

// DialFastOpenWith is DialFastOpen with options.
func (s *Sockets) DialFastOpenWith(ctx context.Context, remote netip.AddrPort, o DialOptions, data []byte) (*Conn, error) {
	return s.open(ctx, remote, dialCall{o, machine.ActiveOpen{FastOpen: true, Text: data}})
}

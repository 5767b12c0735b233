package tcp

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Sockets is how users reach the demultiplexer of a stack.
type Sockets struct {
	calls chan<- Call
	ended <-chan struct{} // closed when Demux has returned
}

// NewSockets returns the Sockets that sends its questions on calls. Ended is
// closed when the Demux at the other end has returned.
func NewSockets(calls chan<- Call, ended <-chan struct{}) *Sockets {
	return &Sockets{calls, ended}
}

// ask has the demultiplexer run f, and waits for it. It returns false, and f
// is not run, when the stack has ended.
func (s *Sockets) ask(f Call) bool {
	ran := make(chan struct{})
	select {
	case s.calls <- func(now time.Time, d *demux) { f(now, d); close(ran) }:
		<-ran
		return true
	case <-s.ended:
		return false
	}
}

// Listen listens on local; an unspecified address stands for all addresses of
// the stack, port 0 for a free one. Errors are *net.OpError around
// syscall.EADDRINUSE, EADDRNOTAVAIL, or net.ErrClosed.
func (s *Sockets) Listen(local netip.AddrPort) (*Listener, error) {
	at := toEndpoint(local)
	var l *Listener
	err := net.ErrClosed
	s.ask(func(_ time.Time, d *demux) { l, err = d.listen(s, at) })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: at.netAddr(), Err: err}
	}
	return l, nil
}

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
	var c dialling
	to := thisHost(toEndpoint(remote))
	route, err := newSourceRoute(o.SourceRoute, to.addr())
	if err == nil {
		err = net.ErrClosed
		s.ask(func(now time.Time, d *demux) { c, err = d.dial(now, toEndpoint(o.Local), to, route) })
	}
	return c.finish(ctx, remote, err)
}

// A dialling is a connection whose handshake somebody waits for.
type dialling struct {
	*Conn
	outcome <-chan error // nil when it is established, or why it is not
}

// finish waits for the handshake, unless err says that there is none, and
// gives what is to be returned.
func (c dialling) finish(ctx context.Context, remote netip.AddrPort, err error) (*Conn, error) {
	if err == nil {
		err = c.wait(ctx)
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: toEndpoint(remote).netAddr(), Err: err}
	}
	return c.Conn, nil
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

// dial is an active OPEN (RFC 9293 section 3.10.1).
func (d *demux) dial(now time.Time, local, remote endpoint, route *sourceRoute) (dialling, error) {
	t, err := d.newActive(now, local, remote, route)
	if err != nil {
		return dialling{}, err
	}
	return d.dialOut(now, t), nil
}

// newActive is the connection of an active OPEN, still in CLOSED (MUST-44 to
// MUST-46).
func (d *demux) newActive(now time.Time, local, remote endpoint, route *sourceRoute) (*tcb, error) {
	to := remote.addr()
	if d.closing {
		return nil, net.ErrClosed
	}
	if remote.port == 0 || to.IsUnspecified() || to.IsMulticast() || d.cfg.Table.IsBroadcast(to) {
		return nil, syscall.EADDRNOTAVAIL
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
	if err := d.choosePort(now, &f); err != nil {
		return nil, err
	}
	old := d.timeWaits.reuse(f, d.stats)
	t := d.spares.newTCB(&d.cfg, d.stats, f, d.initialSeq(now, f, old), d.mtu(flow{remote: toEndpoint(netip.AddrPortFrom(route.towards(to), 0))}))
	t.beginControl(time.Time{})
	t.route = route
	t.tsOffset = d.secrets.timestampOffset(f)
	d.recall(now, t)
	return t, nil
}

// dialOut starts t, which sends its SYN.
func (d *demux) dialOut(now time.Time, t *tcb) dialling {
	t.open(now)
	outcome := make(chan error, 1)
	return dialling{d.start(t, outcome), outcome}
}

// choosePort completes f with a local port, or checks the one that it has. A
// port in TIME-WAIT is taken, where that is safe, when it was asked for or
// there is no other.
func (d *demux) choosePort(now time.Time, f *flow) error {
	if f.local.port != 0 {
		if d.flowTaken(*f) && !d.reusable(now, *f) {
			return syscall.EADDRINUSE
		}
		return nil
	}
	choose := func(taken func(flow) bool) (ok bool) {
		f.local.port, ok = d.ports.Choose(f.local.addr(), f.remote.addrPort(), func(p uint16) bool {
			try := flow{endpoint{f.local.ip, p}, f.remote}
			return d.listener(try.local) != nil || taken(try)
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

// Shutdown ends all listeners and connections. Peers get a reset. It returns
// when no process of a connection runs any more.
func (s *Sockets) Shutdown() {
	idle := make(chan struct{})
	if s.ask(func(_ time.Time, d *demux) { d.shutdown(idle) }) {
		<-idle
	}
}

func (d *demux) shutdown(idle chan struct{}) {
	d.closeAll()
	if d.running == 0 {
		close(idle)
		return
	}
	d.idle = append(d.idle, idle)
}

// Connections returns the state of all connections, and of those in TIME-WAIT,
// in no order.
func (s *Sockets) Connections() []Info {
	var conns []*Conn
	var infos []Info
	s.ask(func(_ time.Time, d *demux) {
		for _, h := range d.conns {
			if h.asleep() {
				infos = append(infos, h.conn.state.sleepingInfo())
			} else {
				conns = append(conns, h.conn)
			}
		}
		for f := range d.timeWaits.byFlow {
			infos = append(infos, Info{Local: f.local.addrPort(), Remote: f.remote.addrPort(), State: TimeWait})
		}
		for f := range d.halfOpens.byFlow {
			infos = append(infos, Info{Local: f.local.addrPort(), Remote: f.remote.addrPort(), State: SynReceived})
		}
		for at := range d.listeners {
			infos = append(infos, Info{Local: at.addrPort(), State: Listen})
		}
	})
	for _, c := range conns {
		infos = append(infos, c.Info())
	}
	return infos
}

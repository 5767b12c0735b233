package gonet

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/internal/deadline"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/udp"
)

// A Dialer dials through a stack with options. Its fields are those of
// [net.Dialer] that have a meaning here, and its DialContext fits where that of
// net.Dialer does. The zero value of each field but Stack leaves the option out.
type Dialer struct {
	// Stack is whose connections these are. Required.
	Stack *Stack

	// Timeout bounds a dial, names included, and Deadline says when it fails at
	// the latest. What comes first counts, with the deadline of the context.
	Timeout  time.Duration
	Deadline time.Time

	// LocalAddr is where the connection begins: a *net.TCPAddr or a *net.UDPAddr,
	// as the network is. Its address may be unspecified, its port 0.
	LocalAddr net.Addr

	// KeepAlive and KeepAliveConfig are as for [Config]; where both are zero,
	// what that says holds.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig

	// Resolver looks names up in the place of the stack.
	Resolver *net.Resolver

	// Options are what TCP connections begin with, in the place of net.Dialer's
	// Control: there is no descriptor to set options on.
	Options tcp.ConnOptions
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext is [Stack.DialContext] with the options of d.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	to, err := d.Stack.resolveBy(ctx, d.Resolver, "dial", network, address)
	if err != nil {
		return nil, err
	}
	local, err := d.local(to)
	switch {
	case err != nil:
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	case to.proto == "udp":
		return asConn(d.Stack.dialUDP(ctx, to, local))
	}
	return asConn(d.Stack.dialTCP(ctx, to, tcp.DialOptions{
		Local: local, Options: keptAlive(d.Options, d.KeepAlive, d.KeepAliveConfig),
	}))
}

// limit is ctx with the limits of d.
func (d *Dialer) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	at := d.Deadline
	if d.Timeout != 0 { // a negative one has passed, as in package net
		if end := time.Now().Add(d.Timeout); at.IsZero() || end.Before(at) {
			at = end
		}
	}
	if at.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, at)
}

// local is LocalAddr for a dial to to.
func (d *Dialer) local(to destination) (netip.AddrPort, error) {
	var local netip.AddrPort
	switch a := d.LocalAddr.(type) {
	case nil:
		return local, nil
	case *net.TCPAddr:
		local = a.AddrPort()
	case *net.UDPAddr:
		local = a.AddrPort()
	}
	if d.LocalAddr.Network() != to.proto {
		return local, &net.AddrError{Err: "mismatched local address type", Addr: d.LocalAddr.String()}
	}
	if a := local.Addr().Unmap(); a.IsValid() && !a.IsUnspecified() && !a.Is4() {
		return local, &net.AddrError{Err: errNoSuitableAddress, Addr: d.LocalAddr.String()}
	}
	return netip.AddrPortFrom(local.Addr().Unmap(), local.Port()), nil
}

// dialUDP opens a socket that is connected to to.
func (s *Stack) dialUDP(ctx context.Context, to destination, local netip.AddrPort) (*udp.Conn, error) {
	return dialEach(ctx, to, func(ctx context.Context, at netip.AddrPort) (*udp.Conn, error) {
		if err := ctx.Err(); err != nil { // it takes no time, but must not begin
			return nil, &net.OpError{Op: "dial", Net: to.network, Addr: net.UDPAddrFromAddrPort(at), Err: deadline.OfContext(err)}
		}
		return s.udp.Named(to.network).Dial(local, at)
	})
}

// dialTCP connects to the first address that answers.
func (s *Stack) dialTCP(ctx context.Context, to destination, o tcp.DialOptions) (*tcp.Conn, error) {
	o.Network, o.Options = to.network, s.defaults(o.Options)
	return dialEach(ctx, to, func(ctx context.Context, at netip.AddrPort) (*tcp.Conn, error) {
		return s.tcp.DialWith(ctx, at, o)
	})
}

// dialEach dials the addresses of a host in turn until one answers, and gives
// the first of the errors when none does. Each has its part of the time that
// is left.
func dialEach[C net.Conn](ctx context.Context, to destination, dial func(context.Context, netip.AddrPort) (C, error)) (c C, first error) {
	for i, at := range to.addrs {
		one, cancel := share(ctx, len(to.addrs)-i)
		c, err := dial(one, at)
		cancel()
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return c, first
}

// leastShare is what an address is given of the time of a dial, if so much is
// left: package net has the same.
const leastShare = 2 * time.Second

// share is ctx with an equal part of the time that is left for n tries.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == 1 {
		return ctx, func() {}
	}
	left := time.Until(deadline)
	return context.WithTimeout(ctx, min(left, max(left/time.Duration(n), leastShare)))
}

// asConn is c, or a nil interface with err.
func asConn[C net.Conn](c C, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

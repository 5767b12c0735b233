package gonet

import (
	"context"
	"net"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// A ListenConfig listens on a stack with options. Its fields are those of
// [net.ListenConfig] that have a meaning here, and some more. The zero value of
// each field but Stack leaves the option out.
type ListenConfig struct {
	// Stack is whose listeners these are. Required.
	Stack *Stack

	// KeepAlive and KeepAliveConfig are as for [Config], of the connections that
	// are accepted; where both are zero, what that says holds.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig

	// Share has several listeners at one address, like SO_REUSEPORT: so a server
	// is replaced by another without a connection lost.
	Share tcp.Share

	// Options are what accepted connections begin with, in the place of
	// net.ListenConfig's Control.
	Options tcp.ConnOptions
}

// Listen is [Stack.Listen] with the options of c. The context is for the time
// that a name takes to be looked up.
func (c *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	at, err := c.Stack.resolveFor("tcp", ctx, network, address)
	if err != nil {
		return nil, err
	}
	l, err := c.Stack.tcp.ListenWith(at.addrs[0], tcp.ListenOptions{
		Network: network, Share: c.Share,
		Options: c.Stack.defaults(keptAlive(c.Options, c.KeepAlive, c.KeepAliveConfig)),
	})
	if err != nil {
		return nil, err // not l, which would be a non-nil interface around nil
	}
	return l, nil
}

// ListenPacket is [Stack.ListenPacket]. The context is as for Listen.
func (c *ListenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	at, err := c.Stack.resolveFor("udp", ctx, network, address)
	if err != nil {
		return nil, err
	}
	u, err := c.Stack.udp.Named(network).Listen(at.addrs[0])
	if err != nil {
		return nil, err
	}
	return u, nil
}

// noKeepAlive is a configuration that says that there is none, where one
// without Enable says nothing.
const noKeepAlive = -1

// keptAlive is o with the keep-alive that the two fields of package net say,
// which are without a meaning when both are zero.
func keptAlive(o tcp.ConnOptions, period time.Duration, k net.KeepAliveConfig) tcp.ConnOptions {
	switch {
	case k.Enable:
		o.KeepAlive = k
	case period < 0:
		o.KeepAlive = net.KeepAliveConfig{Count: noKeepAlive}
	case period > 0:
		o.KeepAlive = net.KeepAliveConfig{Enable: true, Idle: period}
	}
	return o
}

// defaults is o with the keep-alive of the stack where it says nothing of it.
func (s *Stack) defaults(o tcp.ConnOptions) tcp.ConnOptions {
	if o.KeepAlive == (net.KeepAliveConfig{}) {
		o.KeepAlive = s.keepAlive
	}
	return o
}

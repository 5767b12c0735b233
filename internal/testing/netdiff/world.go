package netdiff

import (
	"context"
	"net"
	"time"

	"github.com/seed-012105e5/gonet"
)

// A world is sockets of one kind.
type world interface {
	listen(network, address string) (net.Listener, error)
	listenPacket(network, address string) (net.PacketConn, error)
	dial(ctx context.Context, network, address string) (net.Conn, error)

	// settle lets what is under way arrive, and time pass: so many ticks.
	settle(ticks int)

	// tick is the unit of time in sequences.
	tick() time.Duration
}

// A kernel is the sockets of package net, each made by do.
type kernel struct {
	do   func(func() error) error // runs a function in the right namespace
	unit time.Duration
}

func (k kernel) tick() time.Duration { return k.unit }

func (k kernel) settle(ticks int) { time.Sleep(k.unit/4 + time.Duration(ticks)*k.unit) }

func (k kernel) listen(network, address string) (l net.Listener, err error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	k.do(func() error { l, err = c.Listen(context.Background(), network, address); return err })
	return l, err
}

func (k kernel) listenPacket(network, address string) (c net.PacketConn, err error) {
	k.do(func() error { c, err = net.ListenPacket(network, address); return err })
	return c, err
}

func (k kernel) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	k.do(func() error { c, err = new(net.Dialer).DialContext(ctx, network, address); return err })
	return c, err
}

// A stack is the sockets of GoNet, in virtual time.
type stack struct{ *gonet.Stack }

func (s stack) tick() time.Duration { return time.Millisecond }

func (s stack) settle(ticks int) {
	time.Sleep(s.tick()/4 + time.Duration(ticks)*s.tick())
}

func (s stack) listen(network, address string) (net.Listener, error) {
	return s.Listen(network, address)
}

func (s stack) listenPacket(network, address string) (net.PacketConn, error) {
	return s.ListenPacket(network, address)
}

func (s stack) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return s.DialContext(ctx, network, address)
}

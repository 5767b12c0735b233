package udp

import (
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/deadline"
	"github.com/seed-012105e5/gonet/ip"
)

// maxICMPErrors is how many ICMP errors wait to be taken from Conn.ICMPErrors.
const maxICMPErrors = 8

// A Conn is a socket. It is a net.PacketConn, and a net.Conn where it is
// connected. Its methods may be called by any number of goroutines.
//
// Errors are *net.OpError around net.ErrClosed, os.ErrDeadlineExceeded, or an
// errno, which as in package net is wrapped in the *os.SyscallError of the call
// that Linux would have made. As in Linux, an ICMP error about a datagram of a
// connected socket is returned once, by the next read or write, if it is one
// that ends the exchange; see [Conn.ICMPErrors] for the others.
type Conn struct {
	sockets *Sockets
	local   netip.AddrPort // complete once bound
	remote  netip.AddrPort // zero when not connected

	queue      *queue       // datagrams for the user, the front at the data
	queued     atomic.Int64 // bytes of memory that the queue pins
	limit      atomic.Int64 // … and may pin
	dropped    atomic.Uint64
	failure    chan error // buffered 1: an error that the user has not heard of
	icmpErrors chan ip.ICMPError

	closed   chan struct{}
	isClosed atomic.Bool

	readDeadline, writeDeadline deadline.Deadline
	options                     atomic.Pointer[options]
	groups                      chan []membership // holds the joined groups while nobody changes them
}

var (
	_ net.Conn       = (*Conn)(nil)
	_ net.PacketConn = (*Conn)(nil)
)

func (c *Conn) isConnected() bool { return c.remote.IsValid() }
func (c *Conn) isWildcard() bool  { return c.local.Addr() == anyAddr }

// isShared says whether c is bound to a group, which others may be as well.
func (c *Conn) isShared() bool { return c.local.Addr().IsMulticast() }

func (c *Conn) flow() ip.Flow {
	return ip.Flow{Local: ip.EndpointOfAddrPort(c.local), Remote: ip.EndpointOfAddrPort(c.remote)}
}

// hears says whether c takes a datagram for the group to, whose port is its own.
func (c *Conn) hears(from, to ip.Endpoint) bool {
	f := c.flow()
	return (c.isWildcard() || f.Local == to) && (!c.isConnected() || f.Remote == from)
}

// end marks c as closed, and wakes whoever waits; false when that is done
// already.
func (c *Conn) end() bool {
	first := c.isClosed.CompareAndSwap(false, true)
	if first {
		close(c.closed)
	}
	return first
}

// drain releases what nobody will read. Demux calls it, after which it
// delivers nothing more.
func (c *Conn) drain() {
	for b := c.queue.take(); b != nil; b = c.queue.take() {
		c.release(b)
	}
}

// Close closes the socket and leaves its groups. Calls that wait return
// net.ErrClosed, and so does a second Close. When it returns the port is free.
func (c *Conn) Close() error {
	if !c.end() {
		return c.opError("close", "", net.ErrClosed)
	}
	c.readDeadline.Stop()
	c.writeDeadline.Stop()
	c.leaveAll()
	c.sockets.release(c)
	return nil
}

// LocalAddr is where the socket is bound, a *net.UDPAddr.
func (c *Conn) LocalAddr() net.Addr { return udpAddr(c.local) }

// RemoteAddr is where the socket is connected to, a *net.UDPAddr; nil when it
// is not connected.
func (c *Conn) RemoteAddr() net.Addr { return udpAddr(c.remote) }

// Dropped is how many datagrams for this socket were dropped because it held
// too many that had not been read.
func (c *Conn) Dropped() uint64 { return c.dropped.Load() }

// SetDeadline sets both deadlines. The zero Time means never.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets when reads fail with os.ErrDeadlineExceeded, those too
// that wait already.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readDeadline, t) }

// SetWriteDeadline sets when writes fail with os.ErrDeadlineExceeded, those
// too that wait already.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeDeadline, t) }

func (c *Conn) setDeadline(d *deadline.Deadline, t time.Time) error {
	if c.isClosed.Load() {
		return c.setError(net.ErrClosed)
	}
	d.Set(t)
	return nil
}

// opError is err as the user gets it from an operation on c. Call is the system
// call that Linux would have failed with an errno; "" for none.
func (c *Conn) opError(op, call string, err error) error {
	return c.sockets.opError(op, call, udpAddr(c.local), udpAddr(c.remote), err)
}

// setError is the error of a call that package net makes on the descriptor
// alone: it names the socket as what it is about.
func (c *Conn) setError(err error) error {
	return c.sockets.opError("set", "setsockopt", nil, udpAddr(c.local), err)
}

func (s *Sockets) opError(op, call string, source, addr net.Addr, err error) error {
	network := "udp"
	if s.isV4 {
		network = "udp4"
	}
	if _, ok := err.(syscall.Errno); ok && call != "" {
		err = os.NewSyscallError(call, err)
	}
	return &net.OpError{Op: op, Net: network, Source: source, Addr: addr, Err: err}
}

// udpAddr is a as package net has it; nil for the zero AddrPort.
func udpAddr(a netip.AddrPort) net.Addr {
	if a == (netip.AddrPort{}) {
		return nil
	}
	return net.UDPAddrFromAddrPort(a)
}

package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// options is how the datagrams of a socket look. It is never changed, only
// replaced.
type options struct {
	ttl, multicastTTL uint8 // 0 means the default
	tos               uint8
	df                bool
	noLoop            bool // of multicasts
	ip                []byte
}

// set replaces the options by a changed copy.
func (c *Conn) set(change func(*options)) {
	for {
		old := c.options.Load()
		o := *old
		change(&o)
		if c.options.CompareAndSwap(old, &o) {
			return
		}
	}
}

// SetTTL sets the time to live; 0 means ipv4.DefaultTTL.
func (c *Conn) SetTTL(ttl uint8) { c.set(func(o *options) { o.ttl = ttl }) }

// SetMulticastTTL sets the time to live of datagrams to a multicast group; 0
// means 1, which keeps them in the network (RFC 1112 section 6.1).
func (c *Conn) SetMulticastTTL(ttl uint8) { c.set(func(o *options) { o.multicastTTL = ttl }) }

// SetMulticastLoop sets whether this host itself, and so the socket too, gets
// what the socket sends to a multicast group that it has joined. At first it
// does. As in Linux it is the option of the socket that sends.
func (c *Conn) SetMulticastLoop(loop bool) { c.set(func(o *options) { o.noLoop = !loop }) }

// SetTOS sets the type of service: six bits of DSCP, two of ECN.
func (c *Conn) SetTOS(tos uint8) { c.set(func(o *options) { o.tos = tos }) }

// SetDF sets whether datagrams must not be fragmented. One that is too long
// for the link then fails with EMSGSIZE at once, and one that is too long
// further on makes ICMP tell an error.
func (c *Conn) SetDF(df bool) { c.set(func(o *options) { o.df = df }) }

// SetOptions sets the IP options (RFC 1122 section 4.1.3.2), a multiple of 4
// bytes and 40 at most; otherwise the error is EINVAL.
func (c *Conn) SetOptions(opts []byte) error {
	if len(opts)%4 != 0 || len(opts) > ipv4.MaxHeaderLen-ipv4.MinHeaderLen {
		return c.opError("set", "setsockopt", syscall.EINVAL)
	}
	opts = append([]byte(nil), opts...)
	c.set(func(o *options) { o.ip = opts })
	return nil
}

// SetWriteBuffer is there for programs that call it, and changes nothing: no
// datagram waits in the socket. A write waits while the transmit queue of the
// stack is full, which all sockets share and which holds a few packets only.
func (c *Conn) SetWriteBuffer(int) error {
	if c.isClosed.Load() {
		return c.setError(net.ErrClosed)
	}
	return nil
}

// errMissingAddress has the text of that of package net.
var errMissingAddress = errors.New("missing address")

// Write sends one datagram to the address that the socket is connected to. It
// waits while the stack's transmit queue is full. Besides those of [Conn] the
// error may be EDESTADDRREQ when the socket is not connected, EMSGSIZE when p
// is longer than MaxSize less the IP options, or ENETUNREACH.
func (c *Conn) Write(p []byte) (int, error) {
	var err error
	if c.isConnected() {
		err = c.send(p, c.options.Load(), c.local.Addr(), c.remote)
	} else if err = c.interrupted(c.writeDeadline.Passed()); err == nil {
		err = syscall.EDESTADDRREQ
	}
	if err != nil {
		return 0, c.opError("write", "write", err)
	}
	return len(p), nil
}

// WriteTo sends one datagram to addr, a *net.UDPAddr; one without an IP stands
// for this host. On a connected socket it fails with net.ErrWriteToConnected.
// See Write for the other errors.
func (c *Conn) WriteTo(p []byte, addr net.Addr) (int, error) {
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, c.sockets.opError("write", "", udpAddr(c.local), addr, syscall.EINVAL)
	}
	return c.WriteToUDP(p, a)
}

// WriteToUDP is WriteTo with the type of package net.
func (c *Conn) WriteToUDP(p []byte, addr *net.UDPAddr) (int, error) {
	remote, err := c.destination(addr)
	if err == nil {
		err = c.sendTo(p, netip.Addr{}, remote)
	}
	if err != nil {
		return 0, c.sockets.opError("write", "sendto", udpAddr(c.local), opAddr(addr), err)
	}
	return len(p), nil
}

// destination is where a write to addr is to go.
func (c *Conn) destination(addr *net.UDPAddr) (netip.AddrPort, error) {
	switch {
	case c.isConnected():
		return netip.AddrPort{}, net.ErrWriteToConnected
	case addr == nil:
		return netip.AddrPort{}, errMissingAddress
	case len(addr.IP) == 0:
		return netip.AddrPortFrom(anyAddr, uint16(addr.Port)), nil
	case addr.IP.To4() == nil:
		return netip.AddrPort{}, notIPv4(addr.IP.String())
	}
	return addr.AddrPort(), nil
}

func notIPv4(addr string) error { return &net.AddrError{Err: "non-IPv4 address", Addr: addr} }

// opAddr is addr for a net.OpError, which has no address rather than a nil one.
func opAddr(addr *net.UDPAddr) net.Addr {
	if addr == nil {
		return nil
	}
	return addr
}

// WriteToUDPAddrPort is WriteTo without allocation. Broadcast addresses are
// allowed, as in package net.
func (c *Conn) WriteToUDPAddrPort(p []byte, addr netip.AddrPort) (int, error) {
	return c.WriteFromTo(p, netip.Addr{}, addr)
}

// WriteToAddrPort is WriteToUDPAddrPort.
func (c *Conn) WriteToAddrPort(p []byte, addr netip.AddrPort) (int, error) {
	return c.WriteFromTo(p, netip.Addr{}, addr)
}

// WriteFromTo is WriteToUDPAddrPort from an address of choice (RFC 1122 section
// 4.1.3.5): a socket that takes datagrams for all addresses may so answer from
// the one which was asked (see [Info]). It must be one of the host's, or the
// error is EADDRNOTAVAIL; the zero Addr leaves the choice to the stack.
func (c *Conn) WriteFromTo(p []byte, local netip.Addr, remote netip.AddrPort) (int, error) {
	if err := c.sendTo(p, local, remote); err != nil {
		return 0, c.sockets.opError("write", "sendto", udpAddr(c.local), udpAddr(remote), err)
	}
	return len(p), nil
}

// sendTo sends a datagram of a socket that is not connected.
func (c *Conn) sendTo(p []byte, local netip.Addr, remote netip.AddrPort) error {
	if err := c.checkRemote(remote); err != nil {
		return err
	}
	return c.send(p, c.options.Load(), c.from(local), remote)
}

// checkRemote says whether a datagram can be sent to remote, as package net
// does before it asks the kernel.
func (c *Conn) checkRemote(remote netip.AddrPort) error {
	switch a := remote.Addr().Unmap(); {
	case c.isConnected():
		return net.ErrWriteToConnected
	case !a.IsValid():
		return errMissingAddress
	case !a.Is4():
		return notIPv4(a.String())
	}
	return nil
}

// from is the source of datagrams, the user having chosen local or nothing.
func (c *Conn) from(local netip.Addr) netip.Addr {
	if local = local.Unmap(); local.IsValid() {
		return local
	}
	if local = c.local.Addr(); c.isShared() || c.sockets.cfg.Table.Load().IsBroadcast(local) {
		return anyAddr
	}
	return local
}

// send builds a datagram and gives it to IP.
func (c *Conn) send(p []byte, o *options, local netip.Addr, remote netip.AddrPort) error {
	passed := c.writeDeadline.Passed()
	if err := c.interrupted(passed); err != nil {
		return err
	}
	b, err := c.build(p, o, local, remote)
	if err != nil {
		return err
	}
	if err = c.failed(); err == nil {
		err = c.give(b, passed)
	}
	if err != nil {
		b.Release()
		return err
	}
	c.sockets.stats.TxDatagrams.Add(1)
	return nil
}

// give gives b to IP. It waits while there is no room.
func (c *Conn) give(b *packet.Buffer, passed <-chan struct{}) error {
	tx := c.sockets.tx.Of(b)
	if tx.Try(b) {
		return nil
	}
	tx.Stall()
	select {
	case tx.C() <- b:
		return nil
	case <-c.closed:
		return net.ErrClosed
	case <-passed:
		return os.ErrDeadlineExceeded
	}
}

// build makes the datagram of p.
func (c *Conn) build(p []byte, o *options, local netip.Addr, remote netip.AddrPort) (*packet.Buffer, error) {
	if len(p) > MaxSize-len(o.ip) {
		return nil, syscall.EMSGSIZE
	}
	remote, err := remoteAddr(remote)
	if err != nil {
		return nil, err
	}
	dst := remote.Addr()
	src, err := c.sockets.source(local, dst)
	if err != nil {
		return nil, err
	}
	if o.df {
		hop, _ := c.sockets.cfg.Table.Load().Lookup(dst)
		if ipv4.MinHeaderLen+len(o.ip)+HeaderLen+len(p) > hop.MTU {
			return nil, syscall.EMSGSIZE
		}
	}
	ttl := o.ttl
	if dst.IsMulticast() {
		ttl = max(o.multicastTTL, 1)
	}
	b := packet.Get(len(p))
	b.NoLoop = o.noLoop && dst.IsMulticast()
	b.Append(p)
	Push(b, netip.AddrPortFrom(src, c.local.Port()), remote)
	ipv4.Push(b, ipv4.Fields{
		TOS: o.tos, TTL: ttl, Protocol: ip.ProtocolUDP, DF: o.df,
		Src: src, Dst: dst, Options: o.ip,
	})
	return b, nil
}

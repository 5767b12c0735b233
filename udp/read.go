package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"

	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// Read reads one datagram into p. What does not fit in p is lost, and no
// error. See [Conn] for the errors.
func (c *Conn) Read(p []byte) (int, error) {
	n, _, err := c.ReadFromAddrPort(p)
	return n, err
}

// ReadFrom is Read, and says who sent the datagram: a *net.UDPAddr.
func (c *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(p)
	return n, udpAddr(from), err
}

// ReadFromAddrPort is ReadFrom without allocation.
func (c *Conn) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	b, err := c.receive()
	if err != nil {
		return 0, netip.AddrPort{}, c.opError("read", err)
	}
	n, from := copy(p, b.Bytes()), remoteOf(b)
	c.release(b)
	return n, from, nil
}

// Info is what came with a datagram (RFC 1122 sections 4.1.3.2, 4.1.3.5 and
// 4.1.4).
type Info struct {
	Remote    netip.AddrPort // who sent it
	Local     netip.AddrPort // whom it was for: own address, broadcast address or group
	Link      int            // index of the interface that it came in on; -1 when it came from this host
	TTL       uint8          // that it arrived with
	TOS       uint8          // type of service: DSCP and ECN
	Options   []byte         // IP options, of which the memory is used again
	Truncated bool           // it was longer than the buffer
}

// ReadMsg reads one datagram into p, and what came with it into info.
func (c *Conn) ReadMsg(p []byte, info *Info) (int, error) {
	b, err := c.receive()
	if err != nil {
		return 0, c.opError("read", err)
	}
	n := copy(p, b.Bytes())
	ip := ipv4.Header(b.Network())
	*info = Info{
		Remote:    remoteOf(b),
		Local:     netip.AddrPortFrom(ip.Dst(), c.local.Port()),
		Link:      b.Link,
		TTL:       ip.TTL(),
		TOS:       ip.TOS(),
		Options:   append(info.Options[:0], ip.Options()...),
		Truncated: n < b.Len(),
	}
	c.release(b)
	return n, nil
}

// SetReadBuffer sets how many bytes of memory the datagrams may take that wait
// to be read. What a datagram takes is its buffer, which may be larger than
// its data.
func (c *Conn) SetReadBuffer(bytes int) error {
	c.limit.Store(int64(bytes))
	return nil
}

// receive takes the next datagram. It asks what is there one by one before it
// waits for everything, because that costs a third.
func (c *Conn) receive() (*packet.Buffer, error) {
	passed := c.readDeadline.Passed()
	if err := c.interrupted(passed); err != nil {
		return nil, err
	}
	select {
	case b := <-c.queue:
		return b, nil
	default:
	}
	select {
	case b := <-c.queue:
		return b, nil
	case err := <-c.failure:
		return nil, err
	case <-c.closed:
		return nil, net.ErrClosed
	case <-passed:
		return nil, os.ErrDeadlineExceeded
	}
}

// interrupted is why a call may not even begin, as in package net: the socket
// is closed, the deadline has passed, or there is an error to be told.
func (c *Conn) interrupted(passed <-chan struct{}) error {
	if c.isClosed.Load() {
		return net.ErrClosed
	}
	select {
	case <-passed:
		return os.ErrDeadlineExceeded
	default:
	}
	select {
	case err := <-c.failure:
		return err
	default:
		return nil
	}
}

// release ends a datagram that was in the queue.
func (c *Conn) release(b *packet.Buffer) {
	c.queued.Add(-int64(b.Size()))
	b.Release()
}

// remoteOf is who sent the datagram b.
func remoteOf(b *packet.Buffer) netip.AddrPort {
	ip := ipv4.Header(b.Network())
	return netip.AddrPortFrom(ip.Src(), binary.BigEndian.Uint16(ip.Payload()))
}

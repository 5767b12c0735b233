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
// error. With no room in p it returns at once, and no datagram is taken, as in
// package net. See [Conn] for the errors.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		if c.isClosed.Load() {
			return 0, c.opError("read", "", net.ErrClosed)
		}
		return 0, nil
	}
	n, _, err := c.readFrom(p, "read")
	return n, err
}

// ReadFrom is Read, and says who sent the datagram: a *net.UDPAddr. It takes a
// datagram also when p has no room.
func (c *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.readFrom(p, "recvfrom")
	return n, udpAddr(from), err
}

// ReadFromUDP is ReadFrom with the type of package net.
func (c *Conn) ReadFromUDP(p []byte) (int, *net.UDPAddr, error) {
	n, from, err := c.readFrom(p, "recvfrom")
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without allocation.
func (c *Conn) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	return c.readFrom(p, "recvfrom")
}

// ReadFromAddrPort is ReadFromUDPAddrPort.
func (c *Conn) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	return c.readFrom(p, "recvfrom")
}

func (c *Conn) readFrom(p []byte, call string) (int, netip.AddrPort, error) {
	b, err := c.receive()
	if err != nil {
		return 0, netip.AddrPort{}, c.opError("read", call, err)
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

// ReadMsg reads one datagram into p, and what came with it into info. It does
// not allocate once info.Options has room. [Conn.ReadMsgUDPAddrPort] has the
// form of package net.
func (c *Conn) ReadMsg(p []byte, info *Info) (int, error) {
	b, err := c.receive()
	if err != nil {
		return 0, c.opError("read", "recvmsg", err)
	}
	n := copy(p, b.Bytes())
	network := ipv4.Header(b.Network())
	*info = Info{
		Remote:    remoteOf(b),
		Local:     netip.AddrPortFrom(network.Dst(), c.local.Port()),
		Link:      b.Link,
		TTL:       network.TTL(),
		TOS:       network.TOS(),
		Options:   append(info.Options[:0], network.Options()...),
		Truncated: n < b.Len(),
	}
	c.release(b)
	return n, nil
}

// What a read buffer of so many bytes may pin, and the least that one may be.
const (
	overhead      = 2
	minReadBuffer = 2048
)

// SetReadBuffer sets how many bytes of datagrams may wait to be read, at most
// Config.MaxReadBuffer, which a negative value stands for.
//
// What is bounded is memory, of which a datagram takes a buffer of 512, 2048,
// 10240 or 73728 bytes, 160 of them for headers and the rest for itself. As in
// Linux they may take twice as much as was asked for, which so really holds as
// many bytes in datagrams that fill a frame, or half of one; very small ones
// less.
func (c *Conn) SetReadBuffer(bytes int) error {
	if c.isClosed.Load() {
		return c.setError(net.ErrClosed)
	}
	most := c.sockets.cfg.MaxReadBuffer
	if bytes < 0 || bytes > most {
		bytes = most
	}
	c.limit.Store(overhead * int64(max(bytes, minReadBuffer)))
	return nil
}

// receive takes the next datagram. It asks what is there one by one before it
// waits for everything, because that costs a third.
func (c *Conn) receive() (*packet.Buffer, error) {
	passed := c.readDeadline.Passed()
	if err := c.interrupted(passed); err != nil {
		return nil, err
	}
	if err := c.failed(); err != nil {
		return nil, err
	}
	for {
		if b := c.queue.take(); b != nil {
			return b, nil
		}
		s := c.queue.head.Load()
		select {
		case b, open := <-s.waiting:
			if open {
				return b, nil
			}
			c.queue.leave(s)
		case err := <-c.failure:
			return nil, err
		case <-c.closed:
			return nil, net.ErrClosed
		case <-passed:
			return nil, os.ErrDeadlineExceeded
		}
	}
}

// interrupted is why a call may not even begin, as in package net: the socket
// is closed, or the deadline has passed.
func (c *Conn) interrupted(passed <-chan struct{}) error {
	if c.isClosed.Load() {
		return net.ErrClosed
	}
	select {
	case <-passed:
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// failed is the error that the user has not heard of, if there is one.
func (c *Conn) failed() error {
	select {
	case err := <-c.failure:
		return err
	default:
		return nil
	}
}

// release ends a datagram that was in the queue.
func (c *Conn) release(b *packet.Buffer) {
	c.discharge(int64(b.Size()))
	b.Release()
}

// discharge takes back a charge of Demux.
func (c *Conn) discharge(size int64) {
	c.queued.Add(-size)
	c.sockets.stats.Queued.Add(-uint64(size))
}

// remoteOf is who sent the datagram b.
func remoteOf(b *packet.Buffer) netip.AddrPort {
	network := ipv4.Header(b.Network())
	return netip.AddrPortFrom(network.Src(), binary.BigEndian.Uint16(network.Payload()))
}

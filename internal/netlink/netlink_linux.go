package netlink

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// A Conn changes the network namespace in which it was dialled, from whatever
// thread it is used later. It serves one goroutine at a time.
type Conn struct {
	fd  int
	seq uint32
}

// Dial opens a netlink socket in the network namespace of the calling thread.
func Dial() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return &Conn{fd: fd}, nil
}

// Close closes the socket; what was set stays.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// do sends m and waits for the kernel's answer, which comes at once.
func (c *Conn) do(m message) error {
	c.seq++
	if err := unix.Sendto(c.fd, m.seal(c.seq), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	var answer [4096]byte
	for {
		n, _, err := unix.Recvfrom(c.fd, answer[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		if found, err := parseAck(answer[:n], c.seq); found || err != nil {
			return err
		}
	}
}

// Permitted returns an error (EPERM) when the caller may not change this
// namespace. It asks for no change, of lo.
func (c *Conn) Permitted() error {
	const lo = 1
	return wrap("change interfaces", c.do(newMessage(unix.RTM_NEWLINK, 0).link(lo, 0, 0)))
}

// SetMTU sets the MTU of an interface, in bytes.
func (c *Conn) SetMTU(index, mtu int) error {
	return wrap("set the MTU", c.do(newMessage(unix.RTM_NEWLINK, 0).link(index, 0, 0).
		attrUint32(unix.IFLA_MTU, uint32(mtu))))
}

// SetTxQueue sets how many frames may wait in an interface to be sent: for a tap,
// to be read by the program that holds it.
func (c *Conn) SetTxQueue(index, frames int) error {
	return wrap("set the length of its transmit queue", c.do(newMessage(unix.RTM_NEWLINK, 0).link(index, 0, 0).
		attrUint32(unix.IFLA_TXQLEN, uint32(frames))))
}

// SetMAC sets the link-layer address of an interface.
func (c *Conn) SetMAC(index int, mac [6]byte) error {
	return wrap("set the MAC address", c.do(newMessage(unix.RTM_NEWLINK, 0).link(index, 0, 0).
		attr(unix.IFLA_ADDRESS, mac[:])))
}

// SetUp brings an interface up.
func (c *Conn) SetUp(index int) error {
	return wrap("bring it up", c.do(newMessage(unix.RTM_NEWLINK, 0).link(index, unix.IFF_UP, unix.IFF_UP)))
}

// Delete removes an interface; of a veth, both ends.
func (c *Conn) Delete(index int) error {
	return wrap("delete it", c.do(newMessage(unix.RTM_DELLINK, 0).link(index, 0, 0)))
}

// AddAddr gives an interface an IPv4 address, with the route to its network.
func (c *Conn) AddAddr(index int, p netip.Prefix) error {
	m := newMessage(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	return wrap("add the address "+p.String(), c.do(address(m, index, p)))
}

// RemoveAddr takes an address away again.
func (c *Conn) RemoveAddr(index int, p netip.Prefix) error {
	return wrap("remove the address "+p.String(), c.do(address(newMessage(unix.RTM_DELADDR, 0), index, p)))
}

// address appends a struct ifaddrmsg and its attributes.
func address(m message, index int, p netip.Prefix) message {
	a := p.Addr().As4()
	m = append(m, unix.AF_INET, byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE)
	m = m.uint32(uint32(index)).attr(unix.IFA_LOCAL, a[:]).attr(unix.IFA_ADDRESS, a[:])
	if p.Bits() <= 30 { // a network of two hosts has no broadcast address (RFC 3021)
		b := broadcast(p).As4()
		m = m.attr(unix.IFA_BROADCAST, b[:])
	}
	return m
}

// broadcast is the last address of a network.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

// AddRoute adds a route to dst through gateway, which must be on the network
// of some interface.
func (c *Conn) AddRoute(dst netip.Prefix, gateway netip.Addr) error {
	d, g := dst.Masked().Addr().As4(), gateway.As4()
	m := newMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	m = append(m, unix.AF_INET, byte(dst.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST)
	m = m.uint32(0).attr(unix.RTA_DST, d[:]).attr(unix.RTA_GATEWAY, g[:])
	return wrap(fmt.Sprintf("add the route to %v through %v", dst, gateway), c.do(m))
}

// AddVeth makes a pair of interfaces joined by a cable: name here, and peer in
// the network namespace that the descriptor peerNS refers to.
func (c *Conn) AddVeth(name, peer string, peerNS int) error {
	const infoPeer = 1 // VETH_INFO_PEER of linux/veth.h
	m := newMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL).link(0, 0, 0)
	m = m.attrString(unix.IFLA_IFNAME, name)
	m = m.nest(unix.IFLA_LINKINFO, func(m message) message {
		return m.attrString(unix.IFLA_INFO_KIND, "veth").nest(unix.IFLA_INFO_DATA, func(m message) message {
			return m.nest(infoPeer, func(m message) message {
				return m.link(0, 0, 0).attrString(unix.IFLA_IFNAME, peer).attrUint32(unix.IFLA_NET_NS_FD, uint32(peerNS))
			})
		})
	})
	return wrap("make the veth pair "+name+", "+peer, c.do(m))
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

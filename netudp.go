package gonet

import (
	"errors"
	"net"
	"net/netip"

	"github.com/seed-012105e5/gonet/udp"
)

// ListenUDP opens a UDP socket, as [net.ListenUDP] does. The network is "udp" or
// "udp4". A nil address, or one without an IP, is that of all of the host's;
// port 0 stands for a free one.
func (s *Stack) ListenUDP(network string, local *net.UDPAddr) (*udp.Conn, error) {
	at, err := udpAddrPort(network, local)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: udpOpAddr(local), Err: err}
	}
	return s.udp.Named(network).Listen(at)
}

// DialUDP connects a UDP socket to remote, as [net.DialUDP] does, from local:
// nil, or an address of the host's, a port, or both.
func (s *Stack) DialUDP(network string, local, remote *net.UDPAddr) (*udp.Conn, error) {
	from, err := udpAddrPort(network, local)
	to := netip.AddrPort{}
	if err == nil {
		if remote == nil {
			err = errors.New("missing address")
		} else {
			to, err = udpAddrPort(network, remote)
		}
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Source: udpOpAddr(local), Addr: udpOpAddr(remote), Err: err}
	}
	return s.udp.Named(network).Dial(from, to)
}

// ListenMulticastUDP opens a UDP socket for a multicast group on an interface of
// the stack, by its index in the Config; -1 means the one by which datagrams to
// the group go out. Any number of sockets may listen to a group at one port.
//
// It is [net.ListenMulticastUDP] but for two things: the interface, which is
// none of the kernel's, and that the socket is bound to the group, and so hears
// of no other. As there, what the socket itself sends to groups does not come
// back to this host; see [udp.Conn.SetMulticastLoop].
func (s *Stack) ListenMulticastUDP(network string, link int, group *net.UDPAddr) (*udp.Conn, error) {
	fail := func(err error) (*udp.Conn, error) {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: udpOpAddr(group), Err: err}
	}
	at, err := udpAddrPort(network, group)
	switch {
	case err != nil:
		return fail(err)
	case group == nil:
		return fail(errors.New("missing address"))
	case !at.Addr().IsMulticast():
		return fail(&net.AddrError{Err: "not a multicast group", Addr: group.IP.String()})
	}
	c, err := s.udp.Named(network).Listen(at)
	if err != nil {
		return nil, err
	}
	c.SetMulticastLoop(false)
	if err := c.JoinGroup(at.Addr(), link); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// udpAddrPort is a, which may be nil, as the sockets have it. Without an IP it
// is unspecified.
func udpAddrPort(network string, a *net.UDPAddr) (netip.AddrPort, error) {
	if network != "udp" && network != "udp4" {
		return netip.AddrPort{}, net.UnknownNetworkError(network)
	}
	ipRx := netip.IPv4Unspecified()
	switch {
	case a == nil:
		return netip.AddrPortFrom(ipRx, 0), nil
	case a.IP.To4() != nil:
		ipRx = netip.AddrFrom4([4]byte(a.IP.To4()))
	case len(a.IP) > 0 && !(a.IP.IsUnspecified() && network == "udp"): // [::] is all addresses, as long as there is no IPv6
		return netip.AddrPort{}, &net.AddrError{Err: "non-IPv4 address", Addr: a.IP.String()}
	}
	return netip.AddrPortFrom(ipRx, uint16(a.Port)), nil
}

// udpOpAddr is a for a net.OpError, which has no address rather than a nil one.
func udpOpAddr(a *net.UDPAddr) net.Addr {
	if a == nil {
		return nil
	}
	return a
}

package gonet

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/tcp"
)

// Listen listens for TCP connections. The network is "tcp" or "tcp4"; the
// address is as for [net.Listen], with a literal IPv4 address or none. The
// result is a *tcp.Listener.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	at, err := resolve("listen", network, "tcp", address)
	if err != nil {
		return nil, err
	}
	l, err := s.tcp.Listen(at)
	if err != nil {
		return nil, err // not l, which would be a non-nil interface around nil
	}
	return l, nil
}

// ListenPacket opens a UDP socket. The network is "udp" or "udp4"; the address
// is as for [net.ListenPacket], with a literal IPv4 address or none. The result
// is a *udp.Conn.
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	at, err := resolve("listen", network, "udp", address)
	if err != nil {
		return nil, err
	}
	c, err := s.udp.Listen(at)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Dial is DialContext without a limit other than that of TCP itself.
func (s *Stack) Dial(network, address string) (net.Conn, error) {
	return s.DialContext(context.Background(), network, address)
}

// DialContext connects to address, a literal IPv4 address and a port, by "tcp"
// or "udp". It fits net/http.Transport.DialContext. The result is a *tcp.Conn
// or a *udp.Conn.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "udp" || network == "udp4" {
		to, err := resolve("dial", network, "udp", address)
		if err != nil {
			return nil, err
		}
		c, err := s.udp.Dial(netip.AddrPort{}, to)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	to, err := resolve("dial", network, "tcp", address)
	if err != nil {
		return nil, err
	}
	c, err := s.tcp.Dial(ctx, netip.AddrPort{}, to)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DialFastOpen is DialContext by "tcp" followed by a Write of data, in one:
// where the server has given the stack a cookie on an earlier connection, data
// goes with the SYN and saves a round trip (RFC 7413). The server may see data
// twice in rare cases, so this is for requests that can be repeated; see
// [tcp.Sockets.DialFastOpen]. The server's side is [tcp.Listener.SetFastOpen].
func (s *Stack) DialFastOpen(ctx context.Context, network, address string, data []byte) (*tcp.Conn, error) {
	to, err := resolve("dial", network, "tcp", address)
	if err != nil {
		return nil, err
	}
	return s.tcp.DialFastOpen(ctx, netip.AddrPort{}, to, data)
}

// DialWith is DialContext by "tcp", from an address or by a way that the caller
// chooses.
func (s *Stack) DialWith(ctx context.Context, address string, o tcp.DialOptions) (*tcp.Conn, error) {
	to, err := resolve("dial", "tcp", "tcp", address)
	if err != nil {
		return nil, err
	}
	return s.tcp.DialWith(ctx, to, o)
}

// Ping sends one ICMP echo request to addr, with 56 bytes of data, and returns
// the round-trip time.
func (s *Stack) Ping(ctx context.Context, addr netip.Addr) (time.Duration, error) {
	r, err := s.PingWith(ctx, addr, icmp.PingOptions{Size: 56})
	return r.RTT, err
}

// PingWith is Ping with options, and tells all of the reply.
func (s *Stack) PingWith(ctx context.Context, addr netip.Addr, opts icmp.PingOptions) (icmp.PingReply, error) {
	return s.icmp.Ping(ctx, addr, opts)
}

// resolve reads an address of package net's form. There is no name service:
// hosts are literal addresses, and ports are numbers.
func resolve(op, network, want, address string) (netip.AddrPort, error) {
	fail := func(err error) (netip.AddrPort, error) {
		return netip.AddrPort{}, &net.OpError{Op: op, Net: network, Err: err}
	}
	if network != want && network != want+"4" {
		return fail(net.UnknownNetworkError(network))
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return fail(err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return fail(&net.AddrError{Err: "port is not a number from 0 to 65535", Addr: address})
	}
	if host == "" {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)), nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Unmap().Is4() {
		return fail(&net.AddrError{Err: "host is not a literal IPv4 address; there is no name service", Addr: address})
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

package gonet

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/tcp"
)

// Listen listens for TCP connections. The network is "tcp" or "tcp4"; the
// address is as for [net.Listen]. The result is a *tcp.Listener. See
// [ListenConfig] for options.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	c := ListenConfig{Stack: s}
	return c.Listen(context.Background(), network, address)
}

// ListenPacket opens a UDP socket. The network is "udp" or "udp4"; the address
// is as for [net.ListenPacket]. The result is a *udp.Conn.
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	c := ListenConfig{Stack: s}
	return c.ListenPacket(context.Background(), network, address)
}

// Dial is DialContext without a limit other than that of TCP itself.
func (s *Stack) Dial(network, address string) (net.Conn, error) {
	return s.DialContext(context.Background(), network, address)
}

// DialContext connects to address, which is as for [net.Dial], by "tcp" or
// "udp". It fits net/http.Transport.DialContext. The result is a *tcp.Conn or a
// *udp.Conn. See [Dialer] for options.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d := Dialer{Stack: s}
	return d.DialContext(ctx, network, address)
}

// DialFastOpen is DialContext by "tcp" followed by a Write of data, in one:
// where the server has given the stack a cookie on an earlier connection, data
// goes with the SYN and saves a round trip (RFC 7413). The server may see data
// twice in rare cases, so this is for requests that can be repeated; see
// [tcp.Sockets.DialFastOpen]. The server's side is [tcp.Listener.SetFastOpen].
func (s *Stack) DialFastOpen(ctx context.Context, network, address string, data []byte) (*tcp.Conn, error) {
	to, err := s.resolve(ctx, "dial", network, address)
	if err != nil {
		return nil, err
	}
	if to.proto != "tcp" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
	}
	o := tcp.DialOptions{Network: network, Options: s.defaults(tcp.ConnOptions{})}
	return dialEach(ctx, to, func(ctx context.Context, at netip.AddrPort) (*tcp.Conn, error) {
		return s.tcp.DialFastOpenWith(ctx, at, o, data)
	})
}

// DialWith is DialContext by "tcp", from an address or by a way that the caller
// chooses.
func (s *Stack) DialWith(ctx context.Context, address string, o tcp.DialOptions) (*tcp.Conn, error) {
	to, err := s.resolve(ctx, "dial", "tcp", address)
	if err != nil {
		return nil, err
	}
	return s.dialTCP(ctx, to, o)
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

package gonet

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/udp"
)

// Listen listens for TCP connections. The network is "tcp" or "tcp4"; the
// address is as for [net.Listen]. The result is a *tcp.Listener.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	at, err := s.resolveFor("tcp", context.Background(), "listen", network, address)
	if err != nil {
		return nil, err
	}
	l, err := s.tcp.Listen(at.addrs[0])
	if err != nil {
		return nil, err // not l, which would be a non-nil interface around nil
	}
	return l, nil
}

// ListenPacket opens a UDP socket. The network is "udp" or "udp4"; the address
// is as for [net.ListenPacket]. The result is a *udp.Conn.
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	at, err := s.resolveFor("udp", context.Background(), "listen", network, address)
	if err != nil {
		return nil, err
	}
	c, err := s.udp.Listen(at.addrs[0])
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Dial is DialContext without a limit other than that of TCP itself.
func (s *Stack) Dial(network, address string) (net.Conn, error) {
	return s.DialContext(context.Background(), network, address)
}

// DialContext connects to address, which is as for [net.Dial], by "tcp" or
// "udp". It fits net/http.Transport.DialContext. The result is a *tcp.Conn or a
// *udp.Conn.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := s.resolve(ctx, "dial", network, address)
	switch {
	case err != nil:
		return nil, err
	case to.proto == "udp":
		return asConn(dialEach(ctx, to, func(_ context.Context, at netip.AddrPort) (*udp.Conn, error) {
			return s.udp.Dial(netip.AddrPort{}, at)
		}))
	}
	return asConn(s.dialTCP(ctx, to, tcp.DialOptions{}))
}

// asConn is c, or a nil interface with err.
func asConn[C net.Conn](c C, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return c, nil
}

// dialTCP connects to the first address that answers.
func (s *Stack) dialTCP(ctx context.Context, to destination, o tcp.DialOptions) (*tcp.Conn, error) {
	return dialEach(ctx, to, func(ctx context.Context, at netip.AddrPort) (*tcp.Conn, error) {
		return s.tcp.DialWith(ctx, at, o)
	})
}

// dialEach dials the addresses of a host in turn until one answers, and gives
// the first of the errors when none does. Each has its part of the time that
// is left.
func dialEach[C net.Conn](ctx context.Context, to destination, dial func(context.Context, netip.AddrPort) (C, error)) (c C, first error) {
	for i, at := range to.addrs {
		one, cancel := share(ctx, len(to.addrs)-i)
		c, err := dial(one, at)
		cancel()
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return c, first
}

// leastShare is what an address is given of the time of a dial, if so much is
// left: package net has the same.
const leastShare = 2 * time.Second

// share is ctx with an equal part of the time that is left for n tries.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == 1 {
		return ctx, func() {}
	}
	left := time.Until(deadline)
	return context.WithTimeout(ctx, min(left, max(left/time.Duration(n), leastShare)))
}

// DialFastOpen is DialContext by "tcp" followed by a Write of data, in one:
// where the server has given the stack a cookie on an earlier connection, data
// goes with the SYN and saves a round trip (RFC 7413). The server may see data
// twice in rare cases, so this is for requests that can be repeated; see
// [tcp.Sockets.DialFastOpen]. The server's side is [tcp.Listener.SetFastOpen].
func (s *Stack) DialFastOpen(ctx context.Context, network, address string, data []byte) (*tcp.Conn, error) {
	to, err := s.resolveFor("tcp", ctx, "dial", network, address)
	if err != nil {
		return nil, err
	}
	return dialEach(ctx, to, func(ctx context.Context, at netip.AddrPort) (*tcp.Conn, error) {
		return s.tcp.DialFastOpen(ctx, netip.AddrPort{}, at, data)
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

package gonet

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
)

// LookupNetIP returns the addresses of host, one at least: those of Config.DNS.Hosts,
// or else those that the servers of Config.DNS know. It is [net.Resolver.LookupNetIP]
// of the stack; the network is "ip", "ip4" or "ip6". Errors are *net.DNSError.
func (s *Stack) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return s.dns.LookupNetIP(ctx, network, host)
}

// LookupHost is LookupNetIP of "ip" with the addresses as text.
func (s *Stack) LookupHost(ctx context.Context, host string) ([]string, error) {
	return s.dns.LookupHost(ctx, host)
}

// LookupCNAME returns the name that host is an alias of in the end, or itself, with
// a dot at its end, provided that it has addresses.
func (s *Stack) LookupCNAME(ctx context.Context, host string) (string, error) {
	return s.dns.LookupCNAME(ctx, host)
}

// LookupAddr returns the names of an address.
func (s *Stack) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	return s.dns.LookupAddr(ctx, addr)
}

// Resolver returns a resolver of package net whose queries go through the stack to
// the servers of Config.DNS, in turn. It is for programs that want one, and for kinds
// of records that the stack's own methods do not look up; these have a cache, the
// resolver has none. Beware: the rest of its ways is package net's own. It reads
// this machine's /etc/hosts and /etc/nsswitch.conf, and /etc/resolv.conf with its
// search list, number of dots, timeouts and attempts; only the servers there are not
// used, unless Config.DNS has none.
func (s *Stack) Resolver() *net.Resolver {
	var turn atomic.Uint32
	servers := s.dns.Servers()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if n := uint32(len(servers)); n > 0 {
			address = servers[(turn.Add(1)-1)%n].String()
		}
		return s.DialContext(ctx, network, address)
	}}
}

// dialServer opens a socket for one query of dns.Run.
func (s *Stack) dialServer(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	if network == "udp" {
		return asConn(s.udp.Dial(netip.AddrPort{}, server))
	}
	return asConn(s.tcp.Dial(ctx, netip.AddrPort{}, server))
}

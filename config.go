package gonet

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/udp"
)

// Config says what a stack is made of. Link and Addr are enough for a host
// with one card; a host with more, or a router, has Interfaces.
type Config struct {
	// Link is the network card, which the stack then owns: it closes it.
	Link link.Link

	// Addr is the address of the host on Link, with the length of its network's
	// prefix: 10.0.0.2/24.
	Addr netip.Prefix

	// Gateway is where datagrams go that are not for the network of Addr. The
	// zero Addr means that there is none.
	Gateway netip.Addr

	// Interfaces are further network cards, or all of them when Link and Addr
	// are zero. Routes name them by their index, Link being 0 where it is set.
	Interfaces []Interface

	// Routes are routes beyond the connected networks and Gateway.
	Routes []Route

	// Forward makes the host a router between its links (RFC 1812). It is off
	// unless asked for (RFC 1122 section 3.1).
	Forward bool

	// AcceptSourceRoute takes datagrams that have come by a source route, and
	// has TCP and ICMP answer by the way back. It is off unless asked for, as
	// RFC 7126 section 4.3 advises.
	AcceptSourceRoute bool

	// Rand is where the stack takes its randomness from, when it starts: 32
	// bytes for each process that needs some. Nil means crypto/rand. Two
	// stacks with the same bytes choose the same ports and sequence numbers at
	// the same instants.
	Rand io.Reader

	// DNS says how names are looked up: by which servers, with which search list,
	// and which hosts need no server. Nothing is read from the machine's files. Its
	// Dial and Random are set by New.
	DNS dns.Config

	// KeepAlive has connections that are dialled and accepted probe a peer that
	// is silent, as in package net: 0 means on, with 15 seconds before the first
	// probe and between probes, and 9 probes. A negative value turns it off; a
	// positive one is the time before the first. With Enable, KeepAliveConfig
	// says all. A [Dialer] or a [ListenConfig] may say otherwise.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig

	// TCP has the parameters of TCP. Its Table and Random are set by New.
	TCP tcp.Config

	// UDP has the parameters of UDP. Its Table and Random are set by New.
	UDP udp.Config
}

// An Interface is a network card and the addresses of the host on it.
type Interface struct {
	Link  link.Link
	Addrs []netip.Prefix

	// Static are neighbours that ARP need not ask for.
	Static map[netip.Addr]ethernet.Addr

	// Probe makes sure that nobody else uses an address before it is used,
	// which takes some seconds (RFC 5227 section 2.1).
	Probe bool
}

// A Route says how to reach the addresses of Prefix: through Gateway, which is
// on the network of Interface, or, with the zero Gateway, directly on it.
type Route struct {
	Prefix    netip.Prefix
	Gateway   netip.Addr
	Interface int
}

// interfaces is all network cards of the config.
func (c *Config) interfaces() []Interface {
	if c.Link.Tx == nil && !c.Addr.IsValid() {
		return c.Interfaces
	}
	return append([]Interface{{Link: c.Link, Addrs: []netip.Prefix{c.Addr}}}, c.Interfaces...)
}

// table is the routes of the config.
func (c *Config) table(all []Interface) (*ip.CurrentTable, error) {
	if len(all) == 0 {
		return nil, errors.New("gonet: Config has no Link and no Interfaces")
	}
	for i, f := range all {
		if f.Link.Tx == nil || f.Link.Rx == nil {
			return nil, fmt.Errorf("gonet: interface %d has no Link", i)
		}
		if f.Link.IP && (f.Static != nil || f.Probe) {
			return nil, fmt.Errorf("gonet: interface %d: a link without Ethernet has no ARP, and so neither Static nor Probe", i)
		}
	}
	var interfaces []ip.Interface
	for _, f := range all {
		interfaces = append(interfaces, ip.Interface{Addrs: f.Addrs, MTU: f.Link.MTU})
	}
	var routes []ip.Route
	if c.Gateway.IsValid() {
		link, err := c.linkOf(c.Gateway, all)
		if err != nil {
			return nil, err
		}
		routes = append(routes, ip.Route{Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway: c.Gateway, Link: link})
	}
	for _, r := range c.Routes {
		routes = append(routes, ip.Route{Prefix: r.Prefix, Gateway: r.Gateway, Link: r.Interface})
	}
	table, err := ip.NewTable(interfaces, routes)
	if err != nil {
		return nil, err
	}
	return ip.Publish(table), nil
}

// linkOf is the interface whose network the gateway is on.
func (c *Config) linkOf(gateway netip.Addr, all []Interface) (int, error) {
	for i, f := range all {
		for _, p := range f.Addrs {
			if p.Contains(gateway) {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("gonet: gateway %v is on no network of the host", gateway)
}

// randomness gives each process a source of its own.
type randomness struct {
	from io.Reader
	err  error
}

// source returns a generator that is seeded from the config.
func (r *randomness) source() func() uint64 {
	var seed [32]byte
	from := r.from
	if from == nil {
		from = crand.Reader
	}
	if _, err := io.ReadFull(from, seed[:]); err != nil && r.err == nil {
		r.err = fmt.Errorf("gonet: Config.Rand: %w", err)
	}
	return rand.NewChaCha8(seed).Uint64
}

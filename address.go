package gonet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// This file reads the two strings that say where a call goes, a network and an
// address, as package net does: it is the only place that knows their forms.

// errMissingAddress is that of a Dial to "".
var errMissingAddress = errors.New("missing address")

// errNoSuitableAddress is of a host that has no IPv4 address.
const errNoSuitableAddress = "no suitable address found"

// A destination is what these strings mean.
type destination struct {
	network string // as it was given: what errors name
	proto   string // "tcp" or "udp"

	// addrs are the addresses of the host, one at least, in the order in which
	// they are to be tried. That of no host at all is the zero Addr: any address
	// for a listener, this host for who dials.
	addrs []netip.AddrPort
}

// A lookup is how the addresses of a host are found by its name: one at least.
type lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// resolve is the destination that network and address are for the call op, or
// a *net.OpError of it. Hosts that are no literal addresses are names, which
// are looked up.
func (s *Stack) resolve(ctx context.Context, op, network, address string) (destination, error) {
	byName := func(ctx context.Context, host string) ([]netip.Addr, error) {
		return s.dns.LookupNetIP(ctx, "ip", host)
	}
	return resolve(ctx, byName, op, network, address)
}

// resolveBy is resolve by another resolver, unless that is nil.
func (s *Stack) resolveBy(ctx context.Context, r *net.Resolver, op, network, address string) (destination, error) {
	if r == nil {
		return s.resolve(ctx, op, network, address)
	}
	byName := func(ctx context.Context, host string) ([]netip.Addr, error) { return r.LookupNetIP(ctx, "ip4", host) }
	return resolve(ctx, byName, op, network, address)
}

func resolve(ctx context.Context, byName lookup, op, network, address string) (destination, error) {
	d := destination{network: network}
	err := d.parse(ctx, byName, op, address)
	if err != nil {
		return destination{}, &net.OpError{Op: op, Net: network, Err: err}
	}
	return d, nil
}

// resolveFor is resolve for a listener, which takes one of the two protocols
// only.
func (s *Stack) resolveFor(proto string, ctx context.Context, network, address string) (destination, error) {
	d, err := s.resolve(ctx, "listen", network, address)
	if err != nil || d.proto == proto {
		return d, err
	}
	var at net.Addr = net.UDPAddrFromAddrPort(d.addrs[0])
	if d.proto == "tcp" {
		at = net.TCPAddrFromAddrPort(d.addrs[0])
	}
	err = &net.AddrError{Err: "unexpected address type", Addr: address}
	return d, &net.OpError{Op: "listen", Net: network, Addr: at, Err: err}
}

func (d *destination) parse(ctx context.Context, byName lookup, op, address string) error {
	proto, version := d.network, ""
	if n := len(proto) - 1; n > 0 && (proto[n] == '4' || proto[n] == '6') {
		proto, version = proto[:n], proto[n:]
	}
	if d.proto = proto; proto != "tcp" && proto != "udp" {
		return net.UnknownNetworkError(d.network)
	}
	if address == "" {
		if op == "dial" {
			return errMissingAddress
		}
		address = ":0"
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	port, err := parsePort(d.network, proto, service)
	if err != nil {
		return err
	}
	addrs := []netip.Addr{{}}
	if host != "" {
		if addrs, err = hostAddrs(ctx, byName, host); err != nil {
			return err
		}
	}
	if version == "6" {
		if host != "" && !addrs[0].Is6() {
			return &net.AddrError{Err: errNoSuitableAddress, Addr: host}
		}
		return os.NewSyscallError("socket", syscall.EAFNOSUPPORT)
	}
	for _, a := range addrs {
		if !a.IsValid() || a.Is4() {
			d.addrs = append(d.addrs, netip.AddrPortFrom(a, port))
		}
	}
	if d.addrs == nil {
		return &net.AddrError{Err: errNoSuitableAddress, Addr: host}
	}
	return nil
}

// hostAddrs is the addresses of a host by its name or its literal address, in
// plain form. [::] is every address, also of IPv4.
func hostAddrs(ctx context.Context, byName lookup, host string) ([]netip.Addr, error) {
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return byName(ctx, host)
	case a == netip.IPv6Unspecified():
		return []netip.Addr{a, netip.IPv4Unspecified()}, nil
	}
	return []netip.Addr{a.Unmap()}, nil
}

// parsePort is the port of a service: a number, or a name; 0 for none.
func parsePort(network, proto, service string) (uint16, error) {
	if service == "" {
		return 0, nil
	}
	p, err := strconv.Atoi(service)
	if errors.Is(err, strconv.ErrSyntax) {
		if p, ok := services[proto][strings.ToLower(service)]; ok {
			return p, nil
		}
		return 0, &net.DNSError{Err: "unknown port", Name: network + "/" + service, IsNotFound: true}
	}
	if err != nil || p < 0 || p > 0xffff {
		return 0, &net.AddrError{Err: "invalid port", Addr: service}
	}
	return uint16(p), nil
}

// services are the ports of services that programs name in addresses, from the
// registry of RFC 6335. The machine's /etc/services is not read: a stack depends
// on its Config alone.
var services = map[string]map[string]uint16{
	"tcp": {
		"echo": 7, "discard": 9, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "gopher": 70,
		"http": 80, "www": 80, "kerberos": 88, "pop3": 110, "imap": 143, "imap2": 143, "bgp": 179, "imap3": 220,
		"ldap": 389, "https": 443, "submissions": 465, "submission": 587, "ldaps": 636, "domain-s": 853,
		"ftps": 990, "imaps": 993, "pop3s": 995, "iscsi-target": 3260, "mysql": 3306, "sip": 5060, "sips": 5061,
		"postgresql": 5432, "amqp": 5672, "nbd": 10809,
	},
	"udp": {
		"echo": 7, "discard": 9, "domain": 53, "bootps": 67, "bootpc": 68, "tftp": 69, "kerberos": 88, "ntp": 123,
		"snmp": 161, "ldap": 389, "https": 443, "syslog": 514, "domain-s": 853, "sip": 5060, "sips": 5061, "mdns": 5353,
	},
}

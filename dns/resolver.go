package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed-012105e5/gonet/edge"
)

// A Resolver looks up names. Its methods are as those of [net.Resolver], and may
// be called by any number of goroutines. Errors are *net.DNSError, with IsNotFound
// for a name that does not exist or has no records of the kind, IsTimeout where no
// server has answered or the context has ended, and IsTemporary where to try again
// may help.
type Resolver struct {
	calls edge.Out[Call]
	ended <-chan struct{}
	cfg   Config
	hosts hosts
}

// NewResolver returns a Resolver for the Run that receives from calls, and has the
// same cfg; ended is closed when that has returned.
func NewResolver(calls edge.Out[Call], ended <-chan struct{}, cfg Config) *Resolver {
	return &Resolver{calls, ended, cfg.withDefaults(), newHosts(cfg.Hosts)}
}

// Servers are those of the Config, with their ports.
func (r *Resolver) Servers() []netip.AddrPort { return slices.Clone(r.cfg.Servers) }

// LookupNetIP returns the addresses of host, one at least, in the order of the
// server's answer. The network is "ip", "ip4" or "ip6"; for "ip6" only Hosts and
// literal addresses have any.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	fits := func(netip.Addr) bool { return true }
	switch network {
	case "ip":
	case "ip4":
		fits = netip.Addr.Is4
	case "ip6":
		fits = func(a netip.Addr) bool { return !a.Is4() }
	default:
		return nil, net.UnknownNetworkError(network)
	}
	all, _, err := r.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs := slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return !fits(a) })
	if len(addrs) == 0 {
		return nil, notFound(host, netip.AddrPort{})
	}
	return addrs, nil
}

// LookupHost is LookupNetIP of "ip" with the addresses as text.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	return texts, nil
}

// LookupCNAME returns the name that host is an alias of in the end, or itself,
// with a dot at its end, provided that it has addresses.
func (r *Resolver) LookupCNAME(ctx context.Context, host string) (string, error) {
	_, name, err := r.lookup(ctx, host)
	return name, err
}

// LookupAddr returns the names of an address. Those from servers end with a dot;
// what is no name of a host is left out.
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "unrecognized address", Name: addr}
	}
	if names := r.hosts.namesOf(a.Unmap().WithZone("")); names != nil {
		return slices.Clone(names), nil
	}
	found, err := r.ask(ctx, addr, []string{reverse(a)}, []dnsmessage.Type{dnsmessage.TypePTR})
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(slices.Clone(found.names), func(name string) bool {
		_, ok := absolute(name)
		return !ok
	})
	if len(names) == 0 {
		return nil, &net.DNSError{Err: "DNS response contained records which contain invalid names", Name: addr, Server: found.server.String()}
	}
	return names, nil
}

// lookup is the addresses of host, which others may hold too, and its canonical
// name.
func (r *Resolver) lookup(ctx context.Context, host string) ([]netip.Addr, string, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, host, nil
	}
	if addrs, ok := r.hosts.lookup(host); ok {
		if len(addrs) == 0 {
			return nil, "", notFound(host, netip.AddrPort{})
		}
		return addrs, strings.TrimSuffix(host, ".") + ".", nil
	}
	candidates := r.cfg.candidates(host)
	if len(candidates) == 0 {
		return nil, "", notFound(host, netip.AddrPort{})
	}
	found, err := r.ask(ctx, host, candidates, types())
	return found.addrs, found.canonical, err
}

// ask has Run look up what is known of the first of the candidates that there is.
func (r *Resolver) ask(ctx context.Context, name string, candidates []string, kinds []dnsmessage.Type) (answer, error) {
	if ctx.Err() != nil {
		return answer{}, ended(ctx, name)
	}
	answered := make(chan answer, 1)
	l := &lookup{candidates: candidates, kinds: kinds, answered: answered}
	select {
	case r.calls.C() <- Call{lookup: l}:
	case <-ctx.Done():
		return answer{}, ended(ctx, name)
	case <-r.ended:
		return answer{}, closed(name)
	}
	select {
	case a := <-answered:
		return a, a.dnsError(name)
	case <-ctx.Done():
		select {
		case r.calls.C() <- Call{lookup: l, cancel: true}:
		case <-r.ended:
		}
		return answer{}, ended(ctx, name)
	case <-r.ended:
		return answer{}, closed(name)
	}
}

// Why a lookup fails before any server is asked.
var (
	errTooMany   = errors.New("too many lookups at a time")
	errNoServers = errors.New("no such host: there is no DNS server to ask")
)

// notFound is what package net says of a host that there is not.
func notFound(name string, server netip.AddrPort) *net.DNSError {
	e := &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	if server.IsValid() {
		e.Server = server.String()
	}
	return e
}

func closed(name string) error {
	return &net.DNSError{UnwrapErr: net.ErrClosed, Err: net.ErrClosed.Error(), Name: name}
}

// ended is the error of a lookup that ctx has ended, in the words of package net.
func ended(ctx context.Context, name string) error {
	e := &net.DNSError{UnwrapErr: ctx.Err(), Err: "operation was canceled", Name: name}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Err, e.IsTimeout, e.IsTemporary = "i/o timeout", true, true
	}
	return e
}

// dnsError is why a has nothing of name; nil when it has.
func (a *answer) dnsError(name string) error {
	if a.status == found {
		return nil
	}
	e := notFound(name, a.server)
	if a.status == failed {
		e.Err, e.UnwrapErr = a.err.Error(), a.err
		e.IsNotFound = a.err == errNoServers
		e.IsTimeout = isTimeout(a.err)
		e.IsTemporary = !slices.Contains([]error{errNoServers, errRefused, errLame, errMalformed, errAliases}, a.err)
	}
	return e
}

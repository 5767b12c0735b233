package ip

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// NewTable checks interfaces and routes, and makes the table of them. The
// index of an interface is that of its link.
func NewTable(interfaces []Interface, routes []Route) (*Table, error) {
	t := &Table{}
	t.add(loopbackNet, Hop{Link: -1, Local: true, MTU: MaxLen}, loopbackAddr)
	if err := t.addInterfaces(interfaces); err != nil {
		return nil, err
	}
	for i, r := range routes {
		if err := t.addRoute(r); err != nil {
			return nil, fmt.Errorf("ip: route %d, to %v: %w", i, r.Prefix, err)
		}
	}
	t.addGroups()
	return t, nil
}

// add enters a prefix, behind those that are as long.
func (t *Table) add(p netip.Prefix, hop Hop, source netip.Addr) {
	bits := p.Bits() + 128 - p.Addr().BitLen()
	i := slices.IndexFunc(t.entries, func(e entry) bool { return e.bits < bits })
	if i < 0 {
		i = len(t.entries)
	}
	mask := maskOf(bits)
	t.entries = slices.Insert(t.entries, i, entry{addr: keyOf(p.Addr()).and(mask), mask: mask, bits: bits, hop: hop, source: source})
}

// addInterfaces enters own addresses, connected networks and their broadcast
// addresses. An own address comes before a broadcast address that is the same
// because networks overlap.
func (t *Table) addInterfaces(interfaces []Interface) error {
	for i, f := range interfaces {
		mtu := cmp.Or(f.MTU, DefaultMTU)
		if mtu < MinMTU || mtu > MaxLen {
			return fmt.Errorf("ip: interface %d: MTU %d is not in %d to %d", i, mtu, MinMTU, MaxLen)
		}
		t.links = append(t.links, tableLink{addrs: slices.Clone(f.Addrs), mtu: mtu})
		for _, p := range f.Addrs {
			if err := t.addOwn(p); err != nil {
				return fmt.Errorf("ip: interface %d: %w", i, err)
			}
		}
	}
	for link, l := range t.links {
		for _, p := range l.addrs {
			t.addNetwork(p, link)
		}
	}
	return nil
}

// addOwn enters an address of this host.
func (t *Table) addOwn(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid() || !a.Is4():
		return fmt.Errorf("address %v is not an IPv4 address with the length of its network", p)
	case !IsHost(a) || a.IsLoopback() || p.Bits() == 0:
		return fmt.Errorf("%v cannot be the address of an interface", p)
	case p.Bits() < 31 && (a == p.Masked().Addr() || a == lastOf(p)):
		return fmt.Errorf("%v is a broadcast address of its network", p)
	case t.IsLocal(a):
		return fmt.Errorf("address %v is there twice", a)
	}
	t.add(netip.PrefixFrom(a, 32), Hop{Link: -1, NextHop: a, Local: true, MTU: MaxLen}, a)
	return nil
}

// addNetwork enters the network of an own address p. Its broadcast addresses
// are {net, -1} and the older {net, 0} (RFC 1122 section 3.3.6), of which a
// network of two addresses has none (RFC 3021). The form {net, -1, -1}, to
// all subnets, went with the classes (RFC 1812 section 5.3.5.3).
func (t *Table) addNetwork(p netip.Prefix, link int) {
	hop := Hop{Link: link, MTU: t.links[link].mtu}
	t.add(p.Masked(), hop, p.Addr())
	if p.Bits() >= 31 {
		return
	}
	hop.Broadcast = true
	t.add(netip.PrefixFrom(p.Masked().Addr(), 32), hop, p.Addr())
	t.add(netip.PrefixFrom(lastOf(p), 32), hop, p.Addr())
}

// addRoute enters a route. Its gateway must be in a network that is on the
// link by what has been entered before.
func (t *Table) addRoute(r Route) error {
	switch {
	case !r.Prefix.IsValid() || !r.Prefix.Addr().Is4():
		return fmt.Errorf("%v is not an IPv4 prefix", r.Prefix)
	case r.Prefix != r.Prefix.Masked():
		return fmt.Errorf("the prefix has bits beyond its length; is it %v?", r.Prefix.Masked())
	case within(r.Prefix, loopbackNet):
		return fmt.Errorf("loopback addresses have no route")
	case r.Link < 0 || r.Link >= len(t.links):
		return fmt.Errorf("there is no interface %d", r.Link)
	}
	hop := Hop{Link: r.Link, MTU: t.links[r.Link].mtu, Broadcast: within(r.Prefix, multicastNet)}
	near := r.Prefix.Addr()
	if r.Gateway.IsValid() {
		switch {
		case hop.Broadcast:
			return fmt.Errorf("a multicast route has no gateway")
		case !r.Gateway.Is4() || !IsHost(r.Gateway) || t.IsLocal(r.Gateway) || t.IsBroadcast(r.Gateway):
			return fmt.Errorf("%v cannot be a gateway", r.Gateway)
		case !t.OnLink(r.Gateway, r.Link):
			return fmt.Errorf("gateway %v is in no network of interface %d", r.Gateway, r.Link)
		}
		hop.NextHop = r.Gateway
		near = r.Gateway
	}
	t.add(r.Prefix, hop, t.SourceOn(r.Link, near))
	return nil
}

// addGroups enters limited broadcast and multicast, which go out by the link
// of the first default route, or else by the first link (RFC 1122 section
// 3.3.6 leaves the choice open). A route into 224.0.0.0/4 goes before it.
func (t *Table) addGroups() {
	if len(t.links) == 0 {
		return
	}
	link, near := 0, netip.Addr{}
	if i := slices.IndexFunc(t.entries, func(e entry) bool { return e.bits == defaultBits }); i >= 0 {
		link, near = t.entries[i].hop.Link, t.entries[i].hop.NextHop
	}
	hop := Hop{Link: link, MTU: t.links[link].mtu, Broadcast: true}
	for _, p := range []netip.Prefix{netip.PrefixFrom(limitedAddr, 32), netip.PrefixFrom(thisHostAddr, 32), multicastNet} {
		t.add(p, hop, t.SourceOn(link, near))
	}
}

// IsHost says whether a can be the address of one host at all (RFC 1122 section 3.2.1.3).
func IsHost(a netip.Addr) bool { return !a.IsMulticast() && a != limitedAddr && !thisNet.Contains(a) }

// within says whether all of p lies in net.
func within(p, net netip.Prefix) bool { return p.Bits() >= net.Bits() && net.Contains(p.Addr()) }

// lastOf is the highest address in the network of p.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().AsSlice()
	for i := range a {
		a[i] |= byte(0xff >> min(max(p.Bits()-8*i, 0), 8))
	}
	last, _ := netip.AddrFromSlice(a)
	return last
}

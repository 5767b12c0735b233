package ipv4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// DefaultMTU is that of an Ethernet link (RFC 894).
const DefaultMTU = 1500

// The networks that are the same on every host.
var (
	loopbackNet  = netip.MustParsePrefix("127.0.0.0/8")
	loopbackAddr = netip.MustParseAddr("127.0.0.1")
	multicastNet = netip.MustParsePrefix("224.0.0.0/4")
	limitedAddr  = netip.MustParseAddr("255.255.255.255")
	thisHostAddr = netip.MustParseAddr("0.0.0.0")
)

// An Interface is what routing knows of one link.
type Interface struct {
	Addrs []netip.Prefix // own addresses, each with the length of its network: 10.0.0.2/24; the first is preferred as a source
	MTU   int            // longest datagram in bytes, 68 to 65535; 0 means DefaultMTU
}

// A Route says by which way a network is reached. Of routes with the same
// Prefix the first is used, and the others while its gateway is dead. A
// Gateway is in a connected network, or in one that a Route before it puts on
// the Link.
type Route struct {
	Prefix  netip.Prefix // 0.0.0.0/0 is the default route
	Gateway netip.Addr   // a neighbour on Link; the zero Addr when the network is on the link itself
	Link    int          // index of the interface
}

// A Hop is the next step of a datagram on its way.
type Hop struct {
	Link      int        // index of the interface; -1 when Local
	NextHop   netip.Addr // whom the link layer is to bring it: gateway, destination, or group
	MTU       int        // of the link, in bytes
	Local     bool       // the destination is an address of this host
	Broadcast bool       // the destination is a broadcast address or a multicast group, so the frame goes to a group too
}

// A Table is the addresses and routes of a host (RFC 1122 section 3.3.1). It
// does not change after NewTable, so all processes may read it.
//
// The host is a weak end system (RFC 1122 section 3.3.4.2): it takes a
// datagram for any of its addresses from any link.
type Table struct {
	links   []tableLink
	entries []entry // longest prefix first; of the same prefix, the preferred first
}

type tableLink struct {
	addrs []netip.Prefix
	mtu   int
}

// An entry is one prefix with where it leads. Own addresses, broadcast
// addresses and multicast are entries like any other, so that one search
// finds out what an address is.
type entry struct {
	addr, mask uint32
	hop        Hop // NextHop is invalid where it is the destination itself
	source     netip.Addr
}

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
			return nil, fmt.Errorf("ipv4: route %d, to %v: %w", i, r.Prefix, err)
		}
	}
	t.addGroups()
	return t, nil
}

// add enters a prefix, behind those that are as long.
func (t *Table) add(p netip.Prefix, hop Hop, source netip.Addr) {
	mask := ^uint32(0) << (32 - p.Bits())
	i := slices.IndexFunc(t.entries, func(e entry) bool { return e.mask < mask })
	if i < 0 {
		i = len(t.entries)
	}
	t.entries = slices.Insert(t.entries, i, entry{addr: toUint32(p.Addr()) & mask, mask: mask, hop: hop, source: source})
}

// addInterfaces enters own addresses, connected networks and their broadcast
// addresses. An own address comes before a broadcast address that is the same
// because networks overlap.
func (t *Table) addInterfaces(interfaces []Interface) error {
	for i, f := range interfaces {
		mtu := cmp.Or(f.MTU, DefaultMTU)
		if mtu < MinMTU || mtu > MaxLen {
			return fmt.Errorf("ipv4: interface %d: MTU %d is not in %d to %d", i, mtu, MinMTU, MaxLen)
		}
		t.links = append(t.links, tableLink{addrs: slices.Clone(f.Addrs), mtu: mtu})
		for _, p := range f.Addrs {
			if err := t.addOwn(p); err != nil {
				return fmt.Errorf("ipv4: interface %d: %w", i, err)
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
	case !isHost(a) || a.IsLoopback() || p.Bits() == 0:
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
		case !r.Gateway.Is4() || !isHost(r.Gateway) || t.IsLocal(r.Gateway) || t.IsBroadcast(r.Gateway):
			return fmt.Errorf("%v cannot be a gateway", r.Gateway)
		case !t.onLink(r.Gateway, r.Link):
			return fmt.Errorf("gateway %v is in no network of interface %d", r.Gateway, r.Link)
		}
		hop.NextHop = r.Gateway
		near = r.Gateway
	}
	t.add(r.Prefix, hop, t.sourceOn(r.Link, near))
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
	if i := slices.IndexFunc(t.entries, func(e entry) bool { return e.mask == 0 }); i >= 0 {
		link, near = t.entries[i].hop.Link, t.entries[i].hop.NextHop
	}
	hop := Hop{Link: link, MTU: t.links[link].mtu, Broadcast: true}
	for _, p := range []netip.Prefix{netip.PrefixFrom(limitedAddr, 32), netip.PrefixFrom(thisHostAddr, 32), multicastNet} {
		t.add(p, hop, t.sourceOn(link, near))
	}
}

// sourceOn picks the address of link whose network holds near, or else the
// first (RFC 1122 section 3.3.4.3); the zero Addr when the link has none.
func (t *Table) sourceOn(link int, near netip.Addr) netip.Addr {
	addrs := t.links[link].addrs
	for _, p := range addrs {
		if p.Contains(near) {
			return p.Addr()
		}
	}
	if len(addrs) > 0 {
		return addrs[0].Addr()
	}
	return netip.Addr{}
}

// onLink says whether a neighbour on link may have the address a.
func (t *Table) onLink(a netip.Addr, link int) bool {
	dst := toUint32(a)
	for i := range t.entries {
		e := &t.entries[i]
		if dst&e.mask == e.addr && e.hop.Link == link && !e.hop.NextHop.IsValid() && !e.hop.Broadcast {
			return true
		}
	}
	return false
}

// linkOf is the link that has the address a.
func (t *Table) linkOf(a netip.Addr) (link int, ok bool) {
	for i, l := range t.links {
		for _, p := range l.addrs {
			if p.Addr() == a {
				return i, true
			}
		}
	}
	return 0, false
}

// Gateways are those that routes by a link name.
func (t *Table) Gateways(link int) (all []netip.Addr) {
	for i := range t.entries {
		if hop := &t.entries[i].hop; hop.Link == link && !hop.Local && hop.NextHop.IsValid() && !slices.Contains(all, hop.NextHop) {
			all = append(all, hop.NextHop)
		}
	}
	return all
}

// find is the position in entries of the longest prefix which holds dst, or
// len(entries).
func (t *Table) find(dst uint32) int {
	for i := range t.entries {
		if e := &t.entries[i]; dst&e.mask == e.addr {
			return i
		}
	}
	return len(t.entries)
}

// hopTo is the Hop of the entry at position i for dst.
func (t *Table) hopTo(i int, dst netip.Addr) Hop {
	hop := t.entries[i].hop
	if !hop.NextHop.IsValid() {
		hop.NextHop = dst
	}
	return hop
}

// kind says what dst is; an address without a route is neither.
func (t *Table) kind(dst uint32) (local, group bool) {
	if i := t.find(dst); i < len(t.entries) {
		return t.entries[i].hop.Local, t.entries[i].hop.Broadcast
	}
	return false, false
}

// Lookup finds the next hop to dst by the longest prefix. It reports false
// when there is no route.
func (t *Table) Lookup(dst netip.Addr) (Hop, bool) {
	if !dst.Is4() {
		return Hop{}, false
	}
	i := t.find(toUint32(dst))
	if i == len(t.entries) {
		return Hop{}, false
	}
	return t.hopTo(i, dst), true
}

// Source is the address that a new flow to dst gets (RFC 1122 section
// 3.3.4.3): dst itself when it is an own address, and otherwise one of the
// link by which dst is reached, in the network of the next hop if possible. It
// reports false when there is no route, or the link has no address.
func (t *Table) Source(dst netip.Addr) (netip.Addr, bool) {
	if !dst.Is4() {
		return netip.Addr{}, false
	}
	i := t.find(toUint32(dst))
	if i == len(t.entries) {
		return netip.Addr{}, false
	}
	source := t.entries[i].source
	return source, source.IsValid()
}

// IsLocal says whether a is an address of this host: one of an interface, or
// any in 127.0.0.0/8.
func (t *Table) IsLocal(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	local, _ := t.kind(toUint32(a))
	return local
}

// IsBroadcast says whether a, as a destination, means all hosts of a network:
// 255.255.255.255, the obsolete 0.0.0.0, and {net, -1} and {net, 0} of every
// connected network (RFC 1122 section 3.3.6).
func (t *Table) IsBroadcast(a netip.Addr) bool {
	if !a.Is4() || a.IsMulticast() {
		return false
	}
	_, group := t.kind(toUint32(a))
	return group || a == limitedAddr || a == thisHostAddr
}

// isHost says whether a can be the address of one host at all.
func isHost(a netip.Addr) bool { return !a.IsMulticast() && a != limitedAddr && a.As4()[0] != 0 }

// within says whether all of p lies in net.
func within(p, net netip.Prefix) bool { return p.Bits() >= net.Bits() && net.Contains(p.Addr()) }

// lastOf is the highest address in the network of p.
func lastOf(p netip.Prefix) netip.Addr {
	return toAddr(toUint32(p.Addr()) | ^uint32(0)>>p.Bits())
}

func toUint32(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func toAddr(v uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

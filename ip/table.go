package ip

import (
	"net/netip"
	"slices"
)

// DefaultMTU is that of an Ethernet link (RFC 894). Every link carries MinMTU (RFC
// 791 section 3.2).
const (
	DefaultMTU = 1500
	MinMTU     = 68
)

// defaultBits is the length of the prefix 0.0.0.0/0 as a key.
const defaultBits = 96

// The networks that are the same on every host.
var (
	loopbackNet  = netip.MustParsePrefix("127.0.0.0/8")
	loopbackAddr = netip.MustParseAddr("127.0.0.1")
	multicastNet = netip.MustParsePrefix("224.0.0.0/4")
	limitedAddr  = netip.MustParseAddr("255.255.255.255")
	thisHostAddr = netip.MustParseAddr("0.0.0.0")
	thisNet      = netip.MustParsePrefix("0.0.0.0/8")
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
// is a value that never changes, so all processes may read it.
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
	addr, mask key
	bits       int // of mask
	hop        Hop // NextHop is invalid where it is the destination itself
	source     netip.Addr
}

// SourceOn picks the address of link whose network holds near, or else the
// first (RFC 1122 section 3.3.4.3); the zero Addr when the link has none.
func (t *Table) SourceOn(link int, near netip.Addr) netip.Addr {
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

// OnLink says whether a neighbour on link may have the address a.
func (t *Table) OnLink(a netip.Addr, link int) bool {
	k := keyOf(a)
	for i := range t.entries {
		e := &t.entries[i]
		if k.and(e.mask) == e.addr && e.hop.Link == link && !e.hop.NextHop.IsValid() && !e.hop.Broadcast {
			return true
		}
	}
	return false
}

// LinkOf is the link that has the address a.
func (t *Table) LinkOf(a netip.Addr) (link int, ok bool) {
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

// HasGateway says whether a route leads to gateway.
func (t *Table) HasGateway(gateway netip.Addr) bool {
	return gateway.IsValid() && slices.ContainsFunc(t.entries, func(e entry) bool { return e.hop.NextHop == gateway && !e.hop.Local })
}

// Links is how many links there are.
func (t *Table) Links() int { return len(t.links) }

// MTU is the longest datagram that a link carries, in bytes.
func (t *Table) MTU(link int) int { return t.links[link].mtu }

// LinkTo is the link by which datagrams from src to dst leave, as long as ICMP has
// given no advice; -1 for loopback, and where no route leads. What goes to a group
// takes the link that has its source.
func (t *Table) LinkTo(src, dst netip.Addr) int {
	if !dst.IsValid() {
		return -1
	}
	i := t.find(dst)
	if i == len(t.entries) {
		return -1
	}
	hop := &t.entries[i].hop
	if hop.Broadcast && len(t.links) > 1 {
		if link, ok := t.LinkOf(src); ok {
			return link
		}
	}
	return hop.Link
}

// Alternative is the first of the best routes to dst whose next hop will do; false
// when there is none.
func (t *Table) Alternative(dst netip.Addr, will func(nextHop netip.Addr) bool) (Hop, bool) {
	first := t.find(dst)
	for i := first; i < len(t.entries); i++ {
		if t.entries[i].addr != t.entries[first].addr || t.entries[i].bits != t.entries[first].bits {
			break
		}
		if hop := t.hopTo(i, dst); will(hop.NextHop) {
			return hop, true
		}
	}
	return Hop{}, false
}

// find is the position in entries of the longest prefix which holds dst, or
// len(entries).
func (t *Table) find(dst netip.Addr) int {
	k := keyOf(dst)
	for i := range t.entries {
		if e := &t.entries[i]; k.and(e.mask) == e.addr {
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

// Kind says whether dst is an address of this host, or one that stands for many; one
// without a route is neither. Dst is a valid address.
func (t *Table) Kind(dst netip.Addr) (local, group bool) {
	if i := t.find(dst); i < len(t.entries) {
		return t.entries[i].hop.Local, t.entries[i].hop.Broadcast
	}
	return false, false
}

// Lookup finds the next hop to dst by the longest prefix. It reports false
// when there is no route.
func (t *Table) Lookup(dst netip.Addr) (Hop, bool) {
	if !dst.IsValid() {
		return Hop{}, false
	}
	i := t.find(dst)
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
	if !dst.IsValid() {
		return netip.Addr{}, false
	}
	i := t.find(dst)
	if i == len(t.entries) {
		return netip.Addr{}, false
	}
	source := t.entries[i].source
	return source, source.IsValid()
}

// IsLocal says whether a is an address of this host: one of an interface, or
// any in 127.0.0.0/8.
func (t *Table) IsLocal(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	local, _ := t.Kind(a)
	return local
}

// IsBroadcast says whether a, as a destination, means all hosts of a network:
// 255.255.255.255, the obsolete 0.0.0.0, and {net, -1} and {net, 0} of every
// connected network (RFC 1122 section 3.3.6).
func (t *Table) IsBroadcast(a netip.Addr) bool {
	if !a.IsValid() || a.IsMulticast() {
		return false
	}
	_, group := t.Kind(a)
	return group || a == limitedAddr || a == thisHostAddr
}

package tcp

import (
	"net/netip"
	"syscall"

	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// A sourceRoute is the way that the segments of a connection are told to take
// (RFC 9293 section 3.9.2.1): the destination of the IP header, which is the
// first gateway, and the IP option with the rest, the peer at its end. A nil
// sourceRoute leaves the way to the network.
type sourceRoute struct {
	first  netip.Addr
	option []byte // of whole words
}

// maxGateways is how many addresses an option has room for: 40 bytes less
// type, length and pointer.
const maxGateways = 9

// newSourceRoute is a loose source route to remote by gateways; nil when there
// are none (MUST-51).
func newSourceRoute(gateways []netip.Addr, remote netip.Addr) (*sourceRoute, error) {
	if len(gateways) == 0 {
		return nil, nil
	}
	if len(gateways) > maxGateways {
		return nil, syscall.EINVAL
	}
	option := []byte{ipv4.OptionLooseRoute, uint8(3 + 4*len(gateways)), 4}
	for i, g := range gateways {
		if g = g.Unmap(); !g.Is4() || g.IsMulticast() || g.IsUnspecified() {
			return nil, syscall.EINVAL
		}
		if i > 0 {
			option = append(option, g.AsSlice()...)
		}
	}
	option = append(append(option, remote.AsSlice()...), ipv4.OptionEnd)
	return &sourceRoute{gateways[0].Unmap(), option}, nil
}

// wayBack is the source route that leads back to where b came from, a packet
// whose network header is marked; nil when it came without one (MUST-53).
func wayBack(b *packet.Buffer) *sourceRoute {
	network := ipv4.Header(b.Network())
	if network.Len() <= ipv4.MinHeaderLen || network.Len() > len(network) {
		return nil
	}
	o, _, ok := ipv4.ParseOptions(network.Options())
	if !ok || o.SourceRoute == nil || !o.Completed() {
		return nil
	}
	first, option := o.ReturnRoute(network.Src())
	if option == nil {
		return nil
	}
	return &sourceRoute{first, option}
}

// towards is where the IP header leads to, of what is for remote.
func (r *sourceRoute) towards(remote netip.Addr) netip.Addr {
	if r == nil {
		return remote
	}
	return r.first
}

// len is how many bytes of IP options each segment has.
func (r *sourceRoute) len() int {
	if r == nil {
		return 0
	}
	return len(r.option)
}

// push writes the IP header in front of b.
func (r *sourceRoute) push(b *packet.Buffer, f ipv4.Fields) {
	if r != nil {
		f.Dst, f.Options = r.first, r.option
	}
	ipv4.Push(b, f)
}

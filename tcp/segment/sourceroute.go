package segment

import (
	"net/netip"
	"syscall"

	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// A SourceRoute is the way that the segments of a connection are told to take
// (RFC 9293 section 3.9.2.1): the destination of the IP header, which is the
// first gateway, and the IP option with the rest, the peer at its end. A nil
// sourceRoute leaves the way to the network.
type SourceRoute struct {
	first  netip.Addr
	Option []byte // of whole words
}

// MaxGateways is how many addresses an option has room for: 40 bytes less
// type, length and pointer.
const MaxGateways = 9

// NewSourceRoute is a loose source route to remote by gateways; nil when there
// are none (MUST-51).
func NewSourceRoute(gateways []netip.Addr, remote netip.Addr) (*SourceRoute, error) {
	if len(gateways) == 0 {
		return nil, nil
	}
	if len(gateways) > MaxGateways {
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
	return &SourceRoute{gateways[0].Unmap(), option}, nil
}

// wayBack is the source route that leads back to where b came from, a packet
// whose network header is marked; nil when it came without one (MUST-53).
func wayBack(b *packet.Buffer) *SourceRoute {
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
	return &SourceRoute{first, option}
}

// Towards is where the IP header leads to, of what is for remote.
func (r *SourceRoute) Towards(remote netip.Addr) netip.Addr {
	if r == nil {
		return remote
	}
	return r.first
}

// Len is how many bytes of IP options each segment has.
func (r *SourceRoute) Len() int {
	if r == nil {
		return 0
	}
	return len(r.Option)
}

// Push writes the IP header in front of b.
func (r *SourceRoute) Push(b *packet.Buffer, f ipv4.Fields) {
	if r != nil {
		f.Dst, f.Options = r.first, r.Option
	}
	ipv4.Push(b, f)
}

package icmp

import (
	"encoding/binary"
	"net/netip"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// errorAbout makes the ICMPError of an error about the datagram that quote starts
// with. The quote is what came back from far away, so nothing of it is taken
// for granted but its checksum, which routers on the way have left behind the
// TTL. It is false when quote is too short, or not the start of a datagram.
func errorAbout(typ, code uint8, value uint32, from netip.Addr, quote []byte) (ip.ICMPError, bool) {
	h := ipv4.Header(quote)
	if len(h) < ipv4.MinHeaderLen || h[0]>>4 != 4 || h.Len() < ipv4.MinHeaderLen ||
		len(h) < h.Len()+8 || h.FragmentOffset() != 0 {
		return ip.ICMPError{}, false
	}
	e := ip.ICMPError{
		Type: typ, Code: code, From: from,
		Src: h.Src(), Dst: h.Dst(), Protocol: h.Protocol(),
		Transport: [8]byte(h[h.Len():]),
	}
	if typ == ip.TypeUnreachable && code == ip.CodeFragmentationNeeded {
		e.MTU = int(value & 0xffff) // RFC 1191 section 4
	}
	return e, true
}

// received makes the ICMPError of the error message m in b. It is false unless m
// was sent to this host alone, about a datagram that this host has sent.
func received(b *packet.Buffer, m Message, table *ip.Table) (ip.ICMPError, bool) {
	h := ipv4.Header(b.Network())
	e, ok := errorAbout(m.Type(), m.Code(), m.Value(), h.Src(), m.Data())
	return e, ok && !b.Group && table.IsLocal(h.Dst()) && table.IsLocal(e.Src)
}

// redirect makes the Advice of the Redirect m in b. Redirects for hosts and
// for networks are alike (RFC 1122 section 3.2.2.2). It is false when the new
// gateway is not a neighbour on the link which m came in on; whether m came
// from the present gateway, the routing knows.
func redirect(b *packet.Buffer, m Message, table *ip.Table) (ip.Advice, bool) {
	e, ok := received(b, m, table)
	if !ok {
		return ip.Advice{}, false
	}
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], m.Value())
	gateway := netip.AddrFrom4(address)
	hop, ok := table.Lookup(gateway)
	neighbour := ok && hop.Link == b.Link && hop.NextHop == gateway && !hop.Local && !hop.Broadcast
	return ip.Advice{Dst: e.Dst, Gateway: gateway, From: e.From}, neighbour
}

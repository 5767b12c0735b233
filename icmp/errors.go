package icmp

import (
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// maxErrorLen is how long a datagram with an error in it gets: it quotes as
// much as fits (RFC 1812 section 4.3.2.3).
const maxErrorLen = 576

// mayError says whether an error about the datagram h may be sent to its
// source (RFC 1122 section 3.2.2). Group is whether h came in a frame for a
// link-layer group.
func mayError(h ipv4.Header, group bool, table *ip.Table) bool {
	dst := h.Dst()
	switch {
	case group, dst.IsMulticast(), table.IsBroadcast(dst):
		return false
	case h.FragmentOffset() != 0:
		return false
	case !isHost(h.Src(), table), h.Src().IsLoopback():
		return false
	case h.Protocol() == ip.ProtocolICMP:
		return len(h.Payload()) > 0 && isQuery(h.Payload()[0])
	}
	return true
}

// isQuery says whether an ICMP type is one of the queries and answers of RFC
// 1122 section 3.2.2. What is not may be an error, now or in future.
func isQuery(typ uint8) bool {
	switch typ {
	case TypeEcho, TypeEchoReply,
		9, 10, // router advertisement and solicitation
		13, 14, // timestamp
		15, 16, // information
		17, 18: // address mask
		return true
	}
	return false
}

// newError returns the error that r asks for, as a datagram for Tx; false when
// there is no route back. It is sent with normal type of service (RFC 1122
// section 3.2.2), from the address that the datagram was for when that is
// ours, or else from the one that the way back starts at (RFC 1812 section
// 4.3.2.4).
func newError(r ip.ErrorRequest, table *ip.Table) (*packet.Buffer, bool) {
	if r.Packet.SegmentSize == 0 {
		r.Packet.CompleteChecksum() // quote what would have been on the wire
	}
	h := ipv4.Header(r.Packet.Network())
	src := h.Dst()
	if !table.IsLocal(src) {
		var ok bool
		if src, ok = table.Source(h.Src()); !ok {
			return nil, false
		}
	}
	quote := h[:min(len(h), maxErrorLen-ipv4.MinHeaderLen-HeaderLen)]
	b := packet.From(quote)
	Push(b, r.Type, r.Code, r.Value)
	ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolICMP, Src: src, Dst: h.Src()})
	return b, true
}

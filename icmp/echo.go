package icmp

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// mayEcho says whether the echo request h may be answered. RFC 1122 section
// 3.2.2.6 leaves open whether one to a group is; here it is not, because that
// is how a flood is multiplied (RFC 2644). Nor is one whose source is no
// single host.
func mayEcho(h ipv4.Header, group bool, table *ip.Table) bool {
	return !group && table.IsLocal(h.Dst()) && isHost(h.Src(), table)
}

// isHost says whether a defines a single host (RFC 1122 section 3.2.2): it is
// not zero, loopback of another, broadcast, multicast or class E.
func isHost(a netip.Addr, table *ip.Table) bool {
	net := a.As4()[0]
	return net != 0 && net < 224 && !table.IsBroadcast(a)
}

// turnEcho turns the echo request m in b into its reply, in place: the same
// data, the same type of service, and the addresses changed over, so that the
// source is the specific destination of the request (RFC 1122 section
// 3.2.2.6).
func turnEcho(b *packet.Buffer, m Message) {
	request := ipv4.Header(b.Network())
	src, tos := request.Dst(), request.TOS()
	dst, options := reflect(request)

	old := uint16(m.Type())<<8 | uint16(m.Code())
	sum := checksum.Update(m.Checksum(), old, old&0xff)
	m[0] = TypeEchoReply
	if b.Checksum == packet.ChecksumPartial {
		m[2], m[3] = 0, 0
		sum = checksum.Of(m)
	}
	if sum == 0 {
		sum = 0xffff // the same, but right for a message of zeros too (RFC 1624 section 3)
	}
	binary.BigEndian.PutUint16(m[2:], sum)

	b.Checksum = packet.ChecksumComplete
	b.Arrived, b.NextHop, b.Group = time.Time{}, netip.Addr{}, false
	ipv4.Push(b, ipv4.Fields{TOS: tos, Protocol: ip.ProtocolICMP, Src: src, Dst: dst, Options: options})
}

// reflect returns where the reply to request goes first, and its IP options
// (RFC 1122 section 3.2.2.6): the route and the times recorded, in which IP
// has entered this host already, and a source route turned round. Other
// options are left out.
func reflect(request ipv4.Header) (dst netip.Addr, options []byte) {
	dst = request.Src()
	o, _, ok := ipv4.ParseOptions(request.Options())
	if !ok {
		return dst, nil
	}
	options = append(options, o.RecordRoute...)
	options = append(options, o.Timestamp...)
	if o.SourceRoute != nil && o.Completed() {
		var route []byte
		dst, route = o.ReturnRoute(dst)
		options = append(options, route...) // the last: what pads it ends the list
	}
	for len(options)%4 != 0 {
		options = append(options, ipv4.OptionEnd)
	}
	return dst, options
}

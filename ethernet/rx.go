package ethernet

import (
	"sync/atomic"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/packet"
)

// Stats counts what Rx does.
type Stats struct {
	RxARP atomic.Uint64 // frames passed to ARP
	RxIP  atomic.Uint64 // frames passed to IP

	DropRunt        atomic.Uint64 // shorter than an Ethernet header
	DropOtherHost   atomic.Uint64 // for another station, or for a group that was not joined
	DropUnknownType atomic.Uint64 // neither IPv4 nor ARP; VLAN tags, and IEEE 802.3 without SNAP, too
}

// Rx takes frames from a card, and passes what is for the station on to
// ARP and IP, with the header stripped, Buffer.Link set to link, and
// Buffer.Group set when the frame was sent to a group (RFC 1122 section 2.4
// wants IP to know). It takes Ethernet II (RFC 894) and IEEE 802.3 with SNAP
// (RFC 1042), as RFC 1122 section 2.3.3 asks. Filter says what is for the station;
// ipv4.Rx changes the groups in it.
//
// Rx returns when in is closed, having closed arp. It does not close ip, which
// has other writers.
//
//	Owns:      nothing
//	Reads:     in
//	Writes:    arp, ip
//	Blocks on: in; arp and ip, whose readers are always ready
func Rx(in *edge.Inbox, filter *Filter, link int, arp, ip edge.Out[*packet.Buffer], stats *Stats) {
	defer arp.Close()
	pass := func(b *packet.Buffer) {
		switch Demux(b, filter, link, stats) {
		case TypeIPv4:
			ip.Send(b)
		case TypeARP:
			arp.Send(b)
		default:
			b.Release()
		}
	}
	for in.Next(pass) {
	}
}

// Demux is what Rx does with one frame, without a channel: it strips the
// header, marks the frame for the layers above, counts it, and returns TypeARP,
// TypeIPv4, or 0 for a frame that the caller is to drop.
func Demux(b *packet.Buffer, filter *Filter, link int, stats *Stats) uint16 {
	if b.Len() < HeaderLen {
		stats.DropRunt.Add(1)
		return 0
	}
	dst := Header(b.Bytes()).Dst()
	if !filter.Accepts(dst) {
		stats.DropOtherHost.Add(1)
		return 0
	}
	b.Link, b.Group = link, dst.IsGroup()
	switch pullHeader(b) {
	case TypeARP:
		stats.RxARP.Add(1)
		return TypeARP
	case TypeIPv4:
		stats.RxIP.Add(1)
		return TypeIPv4
	}
	stats.DropUnknownType.Add(1)
	return 0
}

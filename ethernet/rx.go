package ethernet

import (
	"sync/atomic"

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

// Rx takes frames from a card, and passes what is for the station mac on to
// ARP and IP, with the header stripped, Buffer.Link set to link, and
// Buffer.Group set when the frame was sent to a group (RFC 1122 section 2.4
// wants IP to know). It takes Ethernet II (RFC 894) and IEEE 802.3 with SNAP
// (RFC 1042), as RFC 1122 section 2.3.3 asks. Each value on groups is the
// whole set of groups that the station has joined.
//
// Rx returns when in is closed, having closed arp. It does not close ip, which
// has other writers.
//
//	Owns:      the MAC filter, and one frame that waits for arp or ip
//	Reads:     in while no frame waits; groups
//	Writes:    arp, ip
//	Blocks on: all of them at once: groups are taken while a frame waits, so
//	           that whoever empties ip may wait for groups to be taken
func Rx(in <-chan *packet.Buffer, mac Addr, link int, groups <-chan []Addr, arp, ip chan<- *packet.Buffer, stats *Stats) {
	defer close(arp)
	filter := NewFilter(mac)
	var waiting *packet.Buffer
	var out chan<- *packet.Buffer // where it is to go; nil when none waits
	for {
		frames := in
		if out != nil {
			frames = nil
		}
		select {
		case b, ok := <-frames:
			if !ok {
				return
			}
			waiting = b
			switch demux(b, filter, link, stats) {
			case TypeARP:
				out = arp
			case TypeIPv4:
				out = ip
			default:
				b.Release()
			}
		case out <- waiting:
			out = nil
		case set, ok := <-groups:
			filter.SetGroups(set)
			if !ok {
				groups = nil
			}
		}
	}
}

// demux strips the header of a frame, marks it for the layers above, counts
// it, and returns TypeARP, TypeIPv4, or 0 for a frame to be dropped.
func demux(b *packet.Buffer, filter *Filter, link int, stats *Stats) uint16 {
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

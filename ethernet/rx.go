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
	r := receiver{filter: NewFilter(mac), link: link, arp: arp, ip: ip, stats: stats}
	for r.burst(in) {
		frames := in
		if r.out != nil {
			frames = nil
		}
		select {
		case b, ok := <-frames:
			if !ok {
				return
			}
			r.receive(b)
		case r.out <- r.waiting:
			r.out = nil
		case set, ok := <-groups:
			r.filter.SetGroups(set)
			if !ok {
				groups = nil
			}
		}
	}
}

// A receiver is the state of Rx.
type receiver struct {
	filter  *Filter
	link    int
	arp, ip chan<- *packet.Buffer
	stats   *Stats

	waiting *packet.Buffer
	out     chan<- *packet.Buffer // where waiting is to go; nil when none waits
}

// batch is how many frames are taken before Rx looks at all its channels.
const batch = 64

// burst receives what is there, up to a batch or to a frame that must wait,
// and says whether in is open. A look at one channel costs a tenth of a select
// over all.
func (r *receiver) burst(in <-chan *packet.Buffer) bool {
	for n := 0; n < batch && r.out == nil; n++ {
		select {
		case b, ok := <-in:
			if !ok {
				return false
			}
			r.receive(b)
		default:
			return true
		}
	}
	return true
}

// receive passes a frame on, if it can without waiting.
func (r *receiver) receive(b *packet.Buffer) {
	out := r.ip
	switch Demux(b, r.filter, r.link, r.stats) {
	case TypeIPv4:
	case TypeARP:
		out = r.arp
	default:
		b.Release()
		return
	}
	select {
	case out <- b:
	default:
		r.waiting, r.out = b, out
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

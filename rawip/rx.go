// Package rawip takes datagrams from links that have no link layer of their own:
// tuns, tunnels, and other lines between two hosts (RFC 1122 section 3.3.1.1 calls
// them point-to-point). What Ethernet and ARP do on other links is nothing here: a
// datagram that is sent goes straight from ipv4.Tx to the link.
package rawip

import (
	"sync/atomic"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/packet"
)

// Stats counts what Rx does.
type Stats struct {
	RxIP atomic.Uint64 // datagrams passed to IP

	DropRunt           atomic.Uint64 // shorter than an IPv4 header
	DropUnknownVersion atomic.Uint64 // not IPv4
}

// minLen is that of an IPv4 header (RFC 791 section 3.1).
const minLen = 20

// Rx takes datagrams from a link, and passes those of IPv4 on to IP, with
// Buffer.Link set to link. Buffer.Group is set for those that are sent to a
// multicast group or to all, as the link layer has no groups that could tell.
//
// Rx returns when in is closed. It does not close ip, which has other writers.
//
//	Owns:      nothing
//	Reads:     in
//	Writes:    ip
//	Blocks on: in; ip, whose reader is always ready
func Rx(in *edge.Inbox, link int, ip edge.Out[*packet.Buffer], stats *Stats) {
	pass := func(b *packet.Buffer) {
		if b = accept(b, link, stats); b != nil {
			ip.Send(b)
		}
	}
	for in.Next(pass) {
	}
}

// accept marks a datagram for IP, or drops it and returns nil.
func accept(b *packet.Buffer, link int, stats *Stats) *packet.Buffer {
	p := b.Bytes()
	switch {
	case len(p) < minLen:
		stats.DropRunt.Add(1)
	case p[0]>>4 != 4:
		stats.DropUnknownVersion.Add(1)
	default:
		const multicast, all = 0xe0, 0xff // RFC 1112 section 4, RFC 919 section 7
		b.Link, b.Group = link, p[16]&0xf0 == multicast || p[16] == all && p[17] == all && p[18] == all && p[19] == all
		stats.RxIP.Add(1)
		return b
	}
	b.Release()
	return nil
}

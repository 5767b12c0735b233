package arp

import (
	"net/netip"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/packet"
)

// outbox is what the machines want sent, until the process has done it.
type outbox struct {
	mac    ethernet.Addr
	stats  *Stats
	frames []*packet.Buffer // for the card
	failed []*packet.Buffer // datagrams that could not be delivered
}

// arp sends an ARP packet from this station.
func (o *outbox) arp(op uint16, senderIP netip.Addr, to, targetMAC ethernet.Addr, targetIP netip.Addr) {
	b := packet.Get(PacketLen)
	Packet{Op: op, SenderMAC: o.mac, SenderIP: senderIP, TargetMAC: targetMAC, TargetIP: targetIP}.Append(b)
	ethernet.Push(b, to, o.mac, ethernet.TypeARP)
	o.frames = append(o.frames, b)
}

// datagram sends an IP datagram to a station or group.
func (o *outbox) datagram(b *packet.Buffer, to ethernet.Addr) {
	o.frames = append(o.frames, frame(b, to, o.mac, o.stats))
}

// fail hands a datagram back.
func (o *outbox) fail(b *packet.Buffer) {
	o.stats.Unreachable.Add(1)
	o.failed = append(o.failed, b)
}

// empty forgets what has been done: the buffers have other owners now.
func (o *outbox) empty() {
	clear(o.frames)
	clear(o.failed)
	o.frames, o.failed = o.frames[:0], o.failed[:0]
}

// frame makes a frame of an IP datagram.
func frame(b *packet.Buffer, dst, src ethernet.Addr, stats *Stats) *packet.Buffer {
	stats.TxDatagrams.Add(1)
	ethernet.Push(b, dst, src, ethernet.TypeIPv4)
	return b
}

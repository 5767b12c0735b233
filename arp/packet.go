// Package arp finds the Ethernet address of a neighbour's IPv4 address (RFC
// 826, RFC 1122 section 2.3.2), and watches over the host's own addresses
// (RFC 5227).
//
// The cache and the claim on the own addresses are plain state machines;
// [Resolver] is the process around both, in the transmit path between IP and
// the card.
package arp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/packet"
)

// PacketLen is the length of an ARP packet for IPv4 over Ethernet, in bytes.
const PacketLen = 28

// Values of the fields of a packet (RFC 826, IANA).
const (
	OpRequest = 1
	OpReply   = 2

	hardwareEthernet = 1
	hardwareIEEE802  = 6 // what stations of the encapsulation of RFC 1042 write
)

// What Parse may say.
var (
	ErrMalformed = errors.New("arp: not a request or reply for IPv4 over Ethernet")
	ErrSender    = errors.New("arp: the sender's address is not that of one station")
)

// A Packet is an ARP request or reply for IPv4 over Ethernet.
//
//	 0                   1                   2                   3
//	+-------------------------------+-------------------------------+
//	|     Hardware type (1)         |     Protocol type (0x0800)    |  0
//	+---------------+---------------+-------------------------------+
//	| HW length (6) | Pr. length (4)|           Operation           |  4
//	+---------------+---------------+-------------------------------+
//	|                    Sender hardware address                    |  8
//	+-------------------------------+-------------------------------+
//	|             ...               |    Sender protocol address    | 12
//	+-------------------------------+-------------------------------+
//	|             ...               |    Target hardware address    | 16
//	+-------------------------------+-------------------------------+
//	|                              ...                              | 20
//	+---------------------------------------------------------------+
//	|                    Target protocol address                    | 24
//	+---------------------------------------------------------------+
//
// RFC 826, "Packet format".
type Packet struct {
	Op        uint16 // OpRequest or OpReply
	SenderMAC ethernet.Addr
	SenderIP  netip.Addr // 0.0.0.0 in a probe (RFC 5227 section 1.1)
	TargetMAC ethernet.Addr
	TargetIP  netip.Addr
}

// Parse reads a packet, and ignores the padding behind it. It refuses what is
// not for IPv4 over Ethernet, and a sender that a station cannot be: a group
// of stations, which RFC 1812 section 3.3.2 wants not to be believed, or none.
func Parse(p []byte) (Packet, error) {
	if len(p) < PacketLen {
		return Packet{}, ErrMalformed
	}
	hardware, op := binary.BigEndian.Uint16(p[0:]), binary.BigEndian.Uint16(p[6:])
	if hardware != hardwareEthernet && hardware != hardwareIEEE802 ||
		binary.BigEndian.Uint16(p[2:]) != ethernet.TypeIPv4 || p[4] != 6 || p[5] != 4 ||
		op != OpRequest && op != OpReply {
		return Packet{}, ErrMalformed
	}
	a := Packet{
		Op:        op,
		SenderMAC: ethernet.Addr(p[8:14]),
		SenderIP:  netip.AddrFrom4([4]byte(p[14:18])),
		TargetMAC: ethernet.Addr(p[18:24]),
		TargetIP:  netip.AddrFrom4([4]byte(p[24:28])),
	}
	if a.SenderMAC.IsGroup() || a.SenderMAC == (ethernet.Addr{}) ||
		a.SenderIP.IsMulticast() || a.SenderIP.IsLoopback() || a.SenderIP == limitedBroadcast {
		return Packet{}, ErrSender
	}
	return a, nil
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Append writes the packet behind the end of b.
func (a Packet) Append(b *packet.Buffer) {
	p := b.Extend(PacketLen)
	binary.BigEndian.PutUint16(p[0:], hardwareEthernet)
	binary.BigEndian.PutUint16(p[2:], ethernet.TypeIPv4)
	p[4], p[5] = 6, 4
	binary.BigEndian.PutUint16(p[6:], a.Op)
	sender, target := a.SenderIP.As4(), a.TargetIP.As4()
	copy(p[8:], a.SenderMAC[:])
	copy(p[14:], sender[:])
	copy(p[18:], a.TargetMAC[:])
	copy(p[24:], target[:])
}

// IsProbe says whether the packet asks if an address is in use, on behalf of
// a station that has none yet (RFC 5227 section 1.1).
func (a Packet) IsProbe() bool { return a.Op == OpRequest && a.SenderIP.IsUnspecified() }

// String is the packet in the manner of tcpdump.
func (a Packet) String() string {
	var s string
	switch {
	case a.Op == OpReply:
		s = fmt.Sprintf("Reply %v is-at %v", a.SenderIP, a.SenderMAC)
	case a.IsProbe():
		s = fmt.Sprintf("Probe %v", a.TargetIP)
	case a.SenderIP == a.TargetIP:
		s = fmt.Sprintf("Announcement %v", a.SenderIP)
	case a.TargetMAC != ethernet.Addr{}:
		s = fmt.Sprintf("Request who-has %v (%v) tell %v", a.TargetIP, a.TargetMAC, a.SenderIP)
	default:
		s = fmt.Sprintf("Request who-has %v tell %v", a.TargetIP, a.SenderIP)
	}
	return fmt.Sprintf("ARP, %s, length %d", s, PacketLen)
}

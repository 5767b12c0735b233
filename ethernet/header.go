package ethernet

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-012105e5/gonet/packet"
)

// HeaderLen is the length of an Ethernet header in bytes.
const HeaderLen = 14

// Types of payload (IANA, IEEE 802 numbers).
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
)

// A Header is a view of a frame of at least [HeaderLen] bytes, without
// preamble and frame check sequence.
//
//	 0                   1                   2                   3
//	+---------------------------------------------------------------+
//	|                      Destination Address                      |  0
//	+-------------------------------+-------------------------------+
//	|                               |                               |  4
//	+-------------------------------+                               |
//	|                         Source Address                        |  8
//	+-------------------------------+-------------------------------+
//	|         Type or Length        |                                 12
//	+-------------------------------+
//
// RFC 894, RFC 1042.
type Header []byte

// Dst is the address of the station or group that the frame is for.
func (h Header) Dst() Addr { return Addr(h[0:6]) }

// Src is the address of the station that sent the frame.
func (h Header) Src() Addr { return Addr(h[6:12]) }

// Type says what the frame carries. A value of 1500 or less is not a type but
// the length of an IEEE 802.3 frame's payload.
func (h Header) Type() uint16 { return binary.BigEndian.Uint16(h[12:]) }

// String is the header in the manner of tcpdump -e.
func (h Header) String() string {
	kind := fmt.Sprintf("ethertype 0x%04x", h.Type())
	switch {
	case h.Type() == TypeIPv4:
		kind = "ethertype IPv4 (0x0800)"
	case h.Type() == TypeARP:
		kind = "ethertype ARP (0x0806)"
	case h.Type() <= maxLength:
		kind = "802.3"
	}
	return fmt.Sprintf("%v > %v, %s, length %d", h.Src(), h.Dst(), kind, len(h))
}

// Push writes an Ethernet II header in front of b (RFC 894; RFC 1122 section
// 2.3.3 wants every host to send this encapsulation).
func Push(b *packet.Buffer, dst, src Addr, etherType uint16) {
	h := b.Push(HeaderLen)
	copy(h[0:], dst[:])
	copy(h[6:], src[:])
	binary.BigEndian.PutUint16(h[12:], etherType)
}

// The IEEE 802.2 header that RFC 1042 puts between an IEEE 802.3 header and
// an IP or ARP packet: LLC for an unnumbered packet to the SNAP access point,
// then SNAP with the organization code of the Ethernet types.
//
//	+--------+--------+--------+--------+--------+--------+--------+--------+
//	|  DSAP  |  SSAP  |Control |    Organization code     |       Type      |
//	+--------+--------+--------+--------+--------+--------+--------+--------+
const (
	snapPrefix = "\xaa\xaa\x03\x00\x00\x00"
	snapLen    = len(snapPrefix) + 2
	maxLength  = 1500 // a larger value of the type field is a type
)

// pullHeader strips the header of either encapsulation from b, which has at
// least HeaderLen bytes, and returns the type of what is left; 0 when b is
// neither Ethernet II nor RFC 1042. The padding of Ethernet II is left to the
// protocol above, which knows its length; IEEE 802.3 says the length itself.
func pullHeader(b *packet.Buffer) uint16 {
	kind := Header(b.Pull(HeaderLen)).Type()
	if kind > maxLength {
		return kind
	}
	length := int(kind)
	if length > b.Len() || length < snapLen || string(b.Bytes()[:len(snapPrefix)]) != snapPrefix {
		return 0
	}
	b.Trim(length)
	return binary.BigEndian.Uint16(b.Pull(snapLen)[len(snapPrefix):])
}

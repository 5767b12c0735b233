// Package ipv4 is the Internet Protocol, version 4 (RFC 791, 1122, 6864):
// headers, routes, fragments, and the two processes Rx and Tx.
package ipv4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// Lengths in bytes.
const (
	MinHeaderLen = 20
	MaxHeaderLen = 60
	MaxLen       = ip.MaxLen // of a datagram
)

// DefaultTTL is the time to live of RFC 1700.
const DefaultTTL = 64

// A Header is a view of a datagram that starts with an IPv4 header. Only one
// that [Parse] has accepted may be asked for its fields.
//
//	 0                   1                   2                   3
//	+-------+-------+---------------+-------------------------------+
//	|Version|  IHL  |Type of Service|          Total Length         |  0
//	+-------+-------+---------------+-----+-------------------------+
//	|         Identification        |Flags|      Fragment Offset    |  4
//	+---------------+---------------+-----+-------------------------+
//	|  Time to Live |    Protocol   |         Header Checksum       |  8
//	+---------------+---------------+-------------------------------+
//	|                       Source Address                          | 12
//	+---------------------------------------------------------------+
//	|                    Destination Address                        | 16
//	+---------------------------------------------------------------+
//	|                    Options                    |    Padding    | 20
//	+-----------------------------------------------+---------------+
//
// RFC 791 section 3.1.
type Header []byte

// What Parse may say.
var (
	ErrVersion  = errors.New("ipv4: version is not 4")
	ErrLength   = errors.New("ipv4: lengths do not fit the packet")
	ErrChecksum = errors.New("ipv4: bad header checksum")
)

// Parse checks the header at the start of p (RFC 1122 sections 3.2.1.1 and
// 3.2.1.2) and returns it as a view of the datagram, without anything that
// follows the datagram in p, such as the padding of a short frame.
func Parse(p []byte) (Header, error) {
	h := Header(p)
	switch {
	case len(p) < MinHeaderLen:
		return nil, ErrLength
	case h[0]>>4 != 4:
		return nil, ErrVersion
	case h.Len() < MinHeaderLen || h.Len() > h.TotalLen() || h.TotalLen() > len(p):
		return nil, ErrLength
	case checksum.Of(p[:h.Len()]) != 0:
		return nil, ErrChecksum
	}
	return h[:h.TotalLen()], nil
}

// Len is the length of the header with its options, in bytes.
func (h Header) Len() int { return int(h[0]&0xf) * 4 }

// TOS is the type of service: six bits of DSCP (RFC 2474), two of ECN (RFC 3168).
func (h Header) TOS() uint8 { return h[1] }

// TotalLen is the length of the datagram, in bytes.
func (h Header) TotalLen() int { return int(binary.BigEndian.Uint16(h[2:])) }

// ID is the identification, which fragments of one datagram share.
func (h Header) ID() uint16 { return binary.BigEndian.Uint16(h[4:]) }

// DF says whether the datagram must not be fragmented.
func (h Header) DF() bool { return h[6]&0x40 != 0 }

// MF says whether more fragments follow.
func (h Header) MF() bool { return h[6]&0x20 != 0 }

// FragmentOffset is where the payload belongs in the whole datagram, in bytes.
func (h Header) FragmentOffset() int { return int(binary.BigEndian.Uint16(h[6:])&0x1fff) * 8 }

// TTL is the time to live.
func (h Header) TTL() uint8 { return h[8] }

// Protocol is the number of the protocol above.
func (h Header) Protocol() uint8 { return h[9] }

// Checksum is the header checksum.
func (h Header) Checksum() uint16 { return binary.BigEndian.Uint16(h[10:]) }

// Src is the source address.
func (h Header) Src() netip.Addr { return netip.AddrFrom4([4]byte(h[12:16])) }

// Dst is the destination address.
func (h Header) Dst() netip.Addr { return netip.AddrFrom4([4]byte(h[16:20])) }

// Options is the options with their padding; empty when there are none.
func (h Header) Options() []byte { return h[MinHeaderLen:h.Len()] }

// Payload is what follows the header.
func (h Header) Payload() []byte { return h[h.Len():] }

// String is the header in the manner of tcpdump.
func (h Header) String() string {
	s := fmt.Sprintf("IP %v > %v: proto %d, ttl %d, length %d", h.Src(), h.Dst(), h.Protocol(), h.TTL(), h.TotalLen())
	if h.MF() || h.FragmentOffset() > 0 {
		s += fmt.Sprintf(", id %d, frag %d", h.ID(), h.FragmentOffset())
		if h.MF() {
			s += "+"
		}
	}
	return s
}

// updateChecksum computes the header checksum anew.
func (h Header) updateChecksum() {
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], checksum.Of(h[:h.Len()]))
}

// Fields is a header to be written.
type Fields struct {
	TOS      uint8
	TTL      uint8 // 0 means DefaultTTL
	Protocol uint8
	DF       bool // do not fragment
	Src, Dst netip.Addr
	Options  []byte // a multiple of 4 bytes, 40 at most
}

// Push writes a header in front of b, whose bytes are the payload, and marks
// it as the network header. The transport calls it, and sends b to Tx, which
// puts in the identification and the checksum. A train must fit in MaxLen too.
func Push(b *packet.Buffer, f Fields) {
	n := MinHeaderLen + len(f.Options)
	total := n + b.Len()
	h := Header(b.Push(n))
	b.MarkNetwork()
	h[0] = 4<<4 | uint8(n/4)
	h[1] = f.TOS
	binary.BigEndian.PutUint16(h[2:], uint16(total))
	clear(h[4:12])
	if f.DF {
		h[6] = 0x40
	}
	h[8] = f.TTL
	if f.TTL == 0 {
		h[8] = DefaultTTL
	}
	h[9] = f.Protocol
	src, dst := f.Src.As4(), f.Dst.As4()
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	copy(h[MinHeaderLen:], f.Options)
}

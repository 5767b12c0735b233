// Package udp is the User Datagram Protocol (RFC 768, 1122 section 4.1): the
// demultiplexer, and sockets in the manner of package net.
package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// Lengths in bytes.
const (
	HeaderLen = 8
	MaxSize   = ipv4.MaxLen - ipv4.MinHeaderLen - HeaderLen // of the data in a datagram, without IP options: 65507
)

// A Header is a view of a datagram that starts with a UDP header. Only one
// that [Parse] has accepted may be asked for its fields.
//
//	 0                   1                   2                   3
//	+-------------------------------+-------------------------------+
//	|          Source Port          |       Destination Port        |  0
//	+-------------------------------+-------------------------------+
//	|            Length             |           Checksum            |  4
//	+-------------------------------+-------------------------------+
//	|                           Data ...                            |  8
//	+---------------------------------------------------------------+
//
// RFC 768.
type Header []byte

// checksumOffset is where the checksum field lies in the header.
const checksumOffset = 6

// What Parse may say.
var (
	ErrLength   = errors.New("udp: lengths do not fit the datagram")
	ErrChecksum = errors.New("udp: bad checksum")
)

// Parse checks the datagram at the front of b, whose network header is marked,
// and returns a view of it, having trimmed b to its length. A datagram without
// a checksum is accepted (RFC 1122 section 4.1.3.4), and the checksum is not
// verified where the device has done so already, or where the datagram never
// crossed a wire.
func Parse(b *packet.Buffer) (Header, error) {
	h := Header(b.Bytes())
	if len(h) < HeaderLen || h.Len() < HeaderLen || h.Len() > len(h) {
		return nil, ErrLength
	}
	h = h[:h.Len()]
	if h.Checksum() != 0 && b.Checksum == packet.ChecksumComplete {
		network := ipv4.Header(b.Network())
		sum := ip.PseudoSum(network.Src(), network.Dst(), ip.ProtocolUDP, len(h))
		if checksum.Fold(checksum.Sum(h, sum)) != 0xffff {
			return nil, ErrChecksum
		}
	}
	b.Trim(len(h))
	return h, nil
}

// SrcPort is the source port; 0 when the sender wants no answer.
func (h Header) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:]) }

// DstPort is the destination port.
func (h Header) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:]) }

// Len is the length of the datagram, header and data, in bytes.
func (h Header) Len() int { return int(binary.BigEndian.Uint16(h[4:])) }

// Checksum is the checksum; 0 when the sender has computed none.
func (h Header) Checksum() uint16 { return binary.BigEndian.Uint16(h[checksumOffset:]) }

// Data is what follows the header.
func (h Header) Data() []byte { return h[HeaderLen:] }

// String is the header in the manner of tcpdump.
func (h Header) String() string {
	return fmt.Sprintf("UDP %d > %d, length %d", h.SrcPort(), h.DstPort(), h.Len()-HeaderLen)
}

// Push writes a header in front of b, whose bytes are the data, at most
// MaxSize. The checksum is left partial: the field holds the sum of the
// pseudo-header, and whoever comes last, at best the device, adds the rest.
func Push(b *packet.Buffer, src, dst netip.AddrPort) {
	h := b.Push(HeaderLen)
	binary.BigEndian.PutUint16(h[0:], src.Port())
	binary.BigEndian.PutUint16(h[2:], dst.Port())
	binary.BigEndian.PutUint16(h[4:], uint16(b.Len()))
	sum := ip.PseudoSum(src.Addr(), dst.Addr(), ip.ProtocolUDP, b.Len())
	binary.BigEndian.PutUint16(h[checksumOffset:], checksum.Fold(sum))
	b.SetPartial(0, checksumOffset)
}

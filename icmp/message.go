// Package icmp is the Internet Control Message Protocol (RFC 792, 1122 section
// 3.2.2, 1812 section 4.3): the echo server, the errors that go out about
// datagrams which could not be served, the errors that come in about our own,
// and the client of ping.
package icmp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// HeaderLen is the length in bytes of the header that all messages share.
const HeaderLen = 8

// Message types (IANA). Package ipv4 has those of the errors.
const (
	TypeEchoReply = 0
	TypeRedirect  = 5
	TypeEcho      = 8
)

// A Message is a view of an ICMP message. Only one that [Parse] has accepted
// may be asked for its fields.
//
//	 0                   1                   2                   3
//	+---------------+---------------+-------------------------------+
//	|     Type      |     Code      |           Checksum            |  0
//	+---------------+---------------+-------------------------------+
//	|     Identifier, Sequence Number | Gateway | Pointer | MTU     |  4
//	+---------------------------------------------------------------+
//	|     Data, or the header and the start of a datagram ...       |  8
//	+---------------------------------------------------------------+
//
// RFC 792.
type Message []byte

// What Parse may say.
var (
	ErrLength   = errors.New("icmp: message is shorter than its header")
	ErrChecksum = errors.New("icmp: bad checksum")
)

// Parse checks the message at the front of b and returns a view of it. The
// checksum is not verified where the device has done so already, or where the
// message never crossed a wire.
func Parse(b *packet.Buffer) (Message, error) {
	m := Message(b.Bytes())
	if len(m) < HeaderLen {
		return nil, ErrLength
	}
	if b.Checksum == packet.ChecksumComplete && checksum.Of(m) != 0 {
		return nil, ErrChecksum
	}
	return m, nil
}

// Type is the type of the message.
func (m Message) Type() uint8 { return m[0] }

// Code refines the type.
func (m Message) Code() uint8 { return m[1] }

// Checksum is the checksum of the whole message.
func (m Message) Checksum() uint16 { return binary.BigEndian.Uint16(m[2:]) }

// Value is the second word, whose meaning depends on the type.
func (m Message) Value() uint32 { return binary.BigEndian.Uint32(m[4:]) }

// ID is the identifier of an echo or its reply.
func (m Message) ID() uint16 { return binary.BigEndian.Uint16(m[4:]) }

// Seq is the sequence number of an echo or its reply.
func (m Message) Seq() uint16 { return binary.BigEndian.Uint16(m[6:]) }

// Data is what follows the header.
func (m Message) Data() []byte { return m[HeaderLen:] }

// String is the message in the manner of tcpdump.
func (m Message) String() string {
	name := typeName(m.Type())
	switch m.Type() {
	case TypeEcho, TypeEchoReply:
		return fmt.Sprintf("ICMP %s, id %d, seq %d, length %d", name, m.ID(), m.Seq(), len(m))
	}
	return fmt.Sprintf("ICMP %s, code %d, length %d", name, m.Code(), len(m))
}

func typeName(t uint8) string {
	switch t {
	case TypeEchoReply:
		return "echo reply"
	case TypeEcho:
		return "echo request"
	case TypeRedirect:
		return "redirect"
	case ip.TypeUnreachable:
		return "destination unreachable"
	case ip.TypeSourceQuench:
		return "source quench"
	case ip.TypeTimeExceeded:
		return "time exceeded"
	case ip.TypeParameterProblem:
		return "parameter problem"
	}
	return fmt.Sprintf("type %d", t)
}

// Push writes the header of a message in front of b, whose bytes are the data,
// with the checksum over both. Value is the second word.
func Push(b *packet.Buffer, typ, code uint8, value uint32) {
	h := b.Push(HeaderLen)
	h[0], h[1], h[2], h[3] = typ, code, 0, 0
	binary.BigEndian.PutUint32(h[4:], value)
	binary.BigEndian.PutUint16(h[2:], checksum.Of(b.Bytes()))
	b.Checksum = packet.ChecksumComplete
}

package segment

import (
	"encoding/binary"
	"errors"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// Lengths in bytes.
const (
	MinHeaderLen = 20
	MaxHeaderLen = 60
)

// The control bits (RFC 9293 section 3.1), by the letters of tcpdump.
type Flags uint8

const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE // RFC 3168
	CWR
)

// String is the flags as tcpdump and packetdrill write them: "S.", "FP.", "R".
func (f Flags) String() string {
	s := ""
	for _, x := range []struct {
		flag   Flags
		letter string
	}{{FIN, "F"}, {SYN, "S"}, {RST, "R"}, {PSH, "P"}, {ACK, "."}, {URG, "U"}, {ECE, "E"}, {CWR, "W"}} {
		if f&x.flag != 0 {
			s += x.letter
		}
	}
	return s
}

// A Header is a view of a segment on the wire.
//
//	 0                   1                   2                   3
//	+-------------------------------+-------------------------------+
//	|          Source Port          |       Destination Port        |  0
//	+-------------------------------+-------------------------------+
//	|                        Sequence Number                        |  4
//	+---------------------------------------------------------------+
//	|                    Acknowledgment Number                      |  8
//	+-------+-------+---------------+-------------------------------+
//	| Offset| Rsrvd | Control Bits  |            Window             | 12
//	+-------+-------+---------------+-------------------------------+
//	|           Checksum            |         Urgent Pointer        | 16
//	+-------------------------------+-------------------------------+
//	|                           [Options]                           | 20
//	+---------------------------------------------------------------+
//
// RFC 9293 section 3.1.
type Header []byte

func (h Header) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:]) }

func (h Header) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:]) }

func (h Header) Seq() Seq { return Seq(binary.BigEndian.Uint32(h[4:])) }

func (h Header) ack() Seq { return Seq(binary.BigEndian.Uint32(h[8:])) }

func (h Header) Len() int { return int(h[12]>>4) * 4 }

func (h Header) Flags() Flags { return Flags(h[13]) }

func (h Header) window() uint16 { return binary.BigEndian.Uint16(h[14:]) }

func (h Header) urgent() uint16 { return binary.BigEndian.Uint16(h[18:]) }

// checksumOffset is where the checksum field lies in the header.
const checksumOffset = 16

var (
	ErrLength   = errors.New("tcp: lengths do not fit the segment")
	ErrChecksum = errors.New("tcp: bad checksum")
)

// Parse checks the segment in b, whose front is at the TCP header and whose
// network header is marked, and makes s its value. The segment's text is what
// b holds afterwards; b stays with the caller.
func Parse(b *packet.Buffer, s *Segment) error {
	h := Header(b.Bytes())
	if len(h) < MinHeaderLen || h.Len() < MinHeaderLen || h.Len() > len(h) {
		return ErrLength
	}
	// MUST-3: the receiver verifies the checksum; the device may have done so.
	if b.Checksum == packet.ChecksumComplete {
		network := ipv4.Header(b.Network())
		sum := ip.PseudoSum(network.Src(), network.Dst(), ip.ProtocolTCP, len(h))
		if checksum.Fold(checksum.Sum(h, sum)) != 0xffff {
			return ErrChecksum
		}
	}
	*s = Segment{
		Seq:    h.Seq(),
		Ack:    h.ack(),
		Flags:  h.Flags(),
		Window: h.window(),
		Urgent: h.urgent(),
		Opts:   ParseOptions(h[MinHeaderLen:h.Len()]),
		ECN:    ipv4.Header(b.Network()).ECN(),
		Train:  b.SegmentSize,
	}
	s.Route = wayBack(b)
	b.Pull(h.Len())
	s.Text = b
	s.Len = b.Len()
	return nil
}

// Encode writes s as a header in front of b, which holds the segment's text,
// with the sum of the pseudo-header in the checksum field.
func Encode(b *packet.Buffer, s *Segment, f *ip.Flow) {
	var space [MaxHeaderLen - MinHeaderLen]byte
	opts := s.Opts.Append(space[:0], s.Flags&SYN != 0)
	h := Header(b.Push(MinHeaderLen + len(opts)))
	binary.BigEndian.PutUint16(h[0:], f.Local.Port)
	binary.BigEndian.PutUint16(h[2:], f.Remote.Port)
	binary.BigEndian.PutUint32(h[4:], uint32(s.Seq))
	binary.BigEndian.PutUint32(h[8:], uint32(s.Ack))
	h[12] = byte(len(h[:MinHeaderLen+len(opts)])/4) << 4
	h[13] = byte(s.Flags)
	binary.BigEndian.PutUint16(h[14:], s.Window)
	binary.BigEndian.PutUint16(h[18:], s.Urgent)
	copy(h[MinHeaderLen:], opts)
	sum := ip.PseudoSum(f.Local.Addr(), f.Remote.Addr(), ip.ProtocolTCP, b.Len())
	binary.BigEndian.PutUint16(h[16:], checksum.Fold(sum))
	b.SetPartial(0, checksumOffset)
}

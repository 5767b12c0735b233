package tcp

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
	minHeaderLen = 20
	maxHeaderLen = 60
)

// The control bits (RFC 9293 section 3.1), by the letters of tcpdump.
type flags uint8

const (
	FIN flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE // RFC 3168
	CWR
)

// String is the flags as tcpdump and packetdrill write them: "S.", "FP.", "R".
func (f flags) String() string {
	s := ""
	for _, x := range []struct {
		flag   flags
		letter string
	}{{FIN, "F"}, {SYN, "S"}, {RST, "R"}, {PSH, "P"}, {ACK, "."}, {URG, "U"}, {ECE, "E"}, {CWR, "W"}} {
		if f&x.flag != 0 {
			s += x.letter
		}
	}
	return s
}

// A header is a view of a segment on the wire.
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
type header []byte

func (h header) srcPort() uint16 { return binary.BigEndian.Uint16(h[0:]) }
func (h header) dstPort() uint16 { return binary.BigEndian.Uint16(h[2:]) }
func (h header) seq() seq        { return seq(binary.BigEndian.Uint32(h[4:])) }
func (h header) ack() seq        { return seq(binary.BigEndian.Uint32(h[8:])) }
func (h header) len() int        { return int(h[12]>>4) * 4 }
func (h header) flags() flags    { return flags(h[13]) }
func (h header) window() uint16  { return binary.BigEndian.Uint16(h[14:]) }
func (h header) urgent() uint16  { return binary.BigEndian.Uint16(h[18:]) }

// checksumOffset is where the checksum field lies in the header.
const checksumOffset = 16

var (
	errLength   = errors.New("tcp: lengths do not fit the segment")
	errChecksum = errors.New("tcp: bad checksum")
)

// parse checks the segment in b, whose front is at the TCP header and whose
// network header is marked, and makes s its value. The segment's text is what
// b holds afterwards; b stays with the caller.
func parse(b *packet.Buffer, s *segment) error {
	h := header(b.Bytes())
	if len(h) < minHeaderLen || h.len() < minHeaderLen || h.len() > len(h) {
		return errLength
	}
	// MUST-3: the receiver verifies the checksum; the device may have done so.
	if b.Checksum == packet.ChecksumComplete {
		network := ipv4.Header(b.Network())
		sum := ip.PseudoSum(network.Src(), network.Dst(), ip.ProtocolTCP, len(h))
		if checksum.Fold(checksum.Sum(h, sum)) != 0xffff {
			return errChecksum
		}
	}
	*s = segment{
		seq:    h.seq(),
		ack:    h.ack(),
		flags:  h.flags(),
		window: h.window(),
		urgent: h.urgent(),
		opts:   parseOptions(h[minHeaderLen:h.len()]),
		ecn:    ipv4.Header(b.Network()).ECN(),
		train:  b.SegmentSize,
	}
	s.route = wayBack(b)
	b.Pull(h.len())
	s.text = b
	s.len = b.Len()
	return nil
}

// encode writes s as a header in front of b, which holds the segment's text,
// with the sum of the pseudo-header in the checksum field.
func encode(b *packet.Buffer, s *segment, f *ip.Flow) {
	var space [maxHeaderLen - minHeaderLen]byte
	opts := s.opts.append(space[:0], s.flags&SYN != 0)
	h := header(b.Push(minHeaderLen + len(opts)))
	binary.BigEndian.PutUint16(h[0:], f.Local.Port)
	binary.BigEndian.PutUint16(h[2:], f.Remote.Port)
	binary.BigEndian.PutUint32(h[4:], uint32(s.seq))
	binary.BigEndian.PutUint32(h[8:], uint32(s.ack))
	h[12] = byte(len(h[:minHeaderLen+len(opts)])/4) << 4
	h[13] = byte(s.flags)
	binary.BigEndian.PutUint16(h[14:], s.window)
	binary.BigEndian.PutUint16(h[18:], s.urgent)
	copy(h[minHeaderLen:], opts)
	sum := ip.PseudoSum(f.Local.Addr(), f.Remote.Addr(), ip.ProtocolTCP, b.Len())
	binary.BigEndian.PutUint16(h[16:], checksum.Fold(sum))
	b.SetPartial(0, checksumOffset)
}

package link

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/packet"
)

const (
	headerLen    = 14 // of Ethernet: destination, source, type
	minIPLen     = 20 // RFC 791 section 3.1
	minTCPLen    = 20 // RFC 9293 section 3.1
	typeIPv4     = 0x0800
	typeARP      = 0x0806
	protocolICMP = 1
	protocolTCP  = 6
	protocolUDP  = 17

	flagFIN = 0x01
	flagPSH = 0x08
	flagACK = 0x10
	flagCWR = 0x80
)

// Cut makes wire segments of b, and hands each to emit, which owns it.
//
// A train ([packet.Buffer.SegmentSize] > 0) must be an Ethernet frame with an
// IPv4 datagram, not a fragment, that holds a TCP segment. It becomes
// segments of SegmentSize bytes of payload, the last may have less, each with
// complete headers and checksums: the IP identification counts up, FIN and PSH
// stand in the last segment only (RFC 9293 section 3.10.7.4 takes the text
// before the FIN), and CWR in the first only (RFC 3168 section 6.1.2). The
// segments have the Arrived, Link and Group of the train.
//
// Any other frame is emitted itself, its checksum completed.
//
// Cut returns false, and has released b, when the headers of a train, or the
// place of a partial checksum, do not fit the frame.
func Cut(b *packet.Buffer, emit func(*packet.Buffer)) bool {
	if b.SegmentSize == 0 {
		if !partialFits(b) {
			b.Release()
			return false
		}
		b.CompleteChecksum()
		emit(b)
		return true
	}
	defer b.Release()
	frame := b.Bytes()
	at, ok := parseTCP(frame)
	if !ok || b.SegmentSize < 0 {
		return false
	}
	head, rest := frame[:at.payload], frame[at.payload:at.end]
	for offset := 0; ; offset += b.SegmentSize {
		n := min(len(rest), b.SegmentSize)
		s := packet.Get(len(head) + n)
		s.Append(head)
		s.Append(rest[:n])
		s.Arrived, s.Link, s.Group = b.Arrived, b.Link, b.Group
		rest = rest[n:]
		finishSegment(s.Bytes(), at.tcp, offset, offset/b.SegmentSize, len(rest) == 0)
		emit(s)
		if len(rest) == 0 {
			return true
		}
	}
}

// finishSegment turns the headers of a train, at the front of one segment,
// into those of the segment. Its payload begins offset bytes into the train's.
func finishSegment(frame []byte, tcp, offset, index int, last bool) {
	ip := frame[headerLen:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(index))
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksum.Of(frame[headerLen:tcp]))

	h := frame[tcp:]
	binary.BigEndian.PutUint32(h[4:], binary.BigEndian.Uint32(h[4:])+uint32(offset))
	if !last {
		h[13] &^= flagFIN | flagPSH
	}
	if index > 0 {
		h[13] &^= flagCWR
	}
	putTCPChecksum(frame, tcpLayout{tcp: tcp, end: len(frame)})
}

// partialFits says whether the partial checksum of b, if it has one, lies
// inside its frame.
func partialFits(b *packet.Buffer) bool {
	start, offset := b.Partial()
	return b.Checksum != packet.ChecksumPartial || start >= 0 && offset >= 0 && start+offset+2 <= b.Len()
}

// tcpLayout is where the parts of a TCP segment lie in an Ethernet frame.
type tcpLayout struct{ tcp, payload, end int }

// parseTCP finds the TCP segment in an Ethernet frame that carries a whole
// IPv4 datagram. It verifies no checksum.
func parseTCP(frame []byte) (at tcpLayout, ok bool) {
	if len(frame) < headerLen+minIPLen || binary.BigEndian.Uint16(frame[12:]) != typeIPv4 {
		return at, false
	}
	ip := frame[headerLen:]
	const fragment = 0x3fff // MF and the offset
	if ip[0]>>4 != 4 || ip[9] != protocolTCP || binary.BigEndian.Uint16(ip[6:])&fragment != 0 {
		return at, false
	}
	at.tcp = headerLen + int(ip[0]&0xf)*4
	at.end = headerLen + int(binary.BigEndian.Uint16(ip[2:]))
	if at.tcp < headerLen+minIPLen || at.tcp+minTCPLen > at.end || at.end > len(frame) {
		return at, false
	}
	at.payload = at.tcp + int(frame[at.tcp+12]>>4)*4
	return at, at.payload >= at.tcp+minTCPLen && at.payload <= at.end
}

// putTCPChecksum computes the checksum of a segment from nothing (RFC 9293
// section 3.1).
func putTCPChecksum(frame []byte, at tcpLayout) {
	segment := frame[at.tcp:at.end]
	segment[16], segment[17] = 0, 0
	binary.BigEndian.PutUint16(segment[16:], ^checksum.Fold(checksum.Sum(segment, pseudoSum(frame, len(segment)))))
}

// pseudoSum is the sum of the pseudo-header of a segment with this many bytes.
func pseudoSum(frame []byte, length int) uint64 {
	return checksum.Sum(frame[headerLen+12:headerLen+20], protocolTCP+uint64(length))
}

package link

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/packet"
)

const (
	ethernetLen  = 14 // of its header: destination, source, type
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

// Cut makes wire segments of b, an Ethernet frame, and hands each to emit, which owns
// it.
//
// A train ([packet.Buffer.SegmentSize] > 0) must be a frame with an IPv4 datagram, not a fragment, that holds a TCP segment. It becomes
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
func Cut(b *packet.Buffer, emit func(*packet.Buffer)) bool { return cut(b, ethernetLen, emit) }

// CutIP is [Cut] for a frame without a link-layer header (see [Link.IP]).
func CutIP(b *packet.Buffer, emit func(*packet.Buffer)) bool { return cut(b, 0, emit) }

// cut is Cut where the link-layer header has so many bytes.
func cut(b *packet.Buffer, header int, emit func(*packet.Buffer)) bool {
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
	at, ok := parseTCP(frame, header)
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
		finishSegment(s.Bytes(), at, offset, offset/b.SegmentSize, len(rest) == 0)
		emit(s)
		if len(rest) == 0 {
			return true
		}
	}
}

// finishSegment turns the headers of a train, at the front of one segment,
// into those of the segment. Its payload begins offset bytes into the train's.
func finishSegment(frame []byte, at tcpLayout, offset, index int, last bool) {
	ip := frame[at.ip:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(index))
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksum.Of(frame[at.ip:at.tcp]))

	h := frame[at.tcp:]
	binary.BigEndian.PutUint32(h[4:], binary.BigEndian.Uint32(h[4:])+uint32(offset))
	if !last {
		h[13] &^= flagFIN | flagPSH
	}
	if index > 0 {
		h[13] &^= flagCWR
	}
	at.end = len(frame)
	putTCPChecksum(frame, at)
}

// partialFits says whether the partial checksum of b, if it has one, lies
// inside its frame.
func partialFits(b *packet.Buffer) bool {
	start, offset := b.Partial()
	return b.Checksum != packet.ChecksumPartial || start >= 0 && offset >= 0 && start+offset+2 <= b.Len()
}

// datagram is the IPv4 datagram in a frame whose link-layer header has so many
// bytes, or nil where it carries none.
func datagram(frame []byte, header int) []byte {
	if len(frame) < header+minIPLen || header > 0 && binary.BigEndian.Uint16(frame[12:]) != typeIPv4 || frame[header]>>4 != 4 {
		return nil
	}
	return frame[header:]
}

// tcpLayout is where the parts of a TCP segment lie in a frame.
type tcpLayout struct{ ip, tcp, payload, end int }

// parseTCP finds the TCP segment in a frame that carries a whole IPv4 datagram. It
// verifies no checksum.
func parseTCP(frame []byte, header int) (at tcpLayout, ok bool) {
	ip := datagram(frame, header)
	const fragment = 0x3fff // MF and the offset
	if ip == nil || ip[9] != protocolTCP || binary.BigEndian.Uint16(ip[6:])&fragment != 0 {
		return at, false
	}
	at.ip = header
	at.tcp = header + int(ip[0]&0xf)*4
	at.end = header + int(binary.BigEndian.Uint16(ip[2:]))
	if at.tcp < header+minIPLen || at.tcp+minTCPLen > at.end || at.end > len(frame) {
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
	binary.BigEndian.PutUint16(segment[16:], ^checksum.Fold(checksum.Sum(segment, pseudoSum(frame[at.ip:], len(segment)))))
}

// pseudoSum is the sum of the pseudo-header of a segment with this many bytes.
func pseudoSum(ip []byte, length int) uint64 {
	return checksum.Sum(ip[12:20], protocolTCP+uint64(length))
}

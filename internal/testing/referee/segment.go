package referee

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/internal/checksum"
)

// A segment is what the referee must know of one.
type segment struct {
	src, dst [6]byte // address and port
	seq, ack uint32
	flags    byte
	window   uint16
	opts     options
	text     []byte
	length   int // of the datagram
}

const (
	fin, syn, rst, ack = 1, 2, 4, 16

	protocolICMP, protocolTCP = 1, 6
)

// start is the sequence number of the first byte of text.
func (s *segment) start() uint32 {
	if s.flags&syn != 0 {
		return s.seq + 1
	}
	return s.seq
}

// textEnd is the sequence number behind the text, and end that behind s.
func (s *segment) textEnd() uint32 { return s.start() + uint32(len(s.text)) }

func (s *segment) end() uint32 {
	if s.flags&fin != 0 {
		return s.textEnd() + 1
	}
	return s.textEnd()
}

type options struct {
	len      int // of all, in bytes
	mss      int
	scale    uint8
	hasScale bool
	sack     [4]span
	sacks    int
}

// datagram is the header and the payload of an IPv4 datagram that is no
// fragment.
func datagram(p []byte) (header, payload []byte, ok bool) {
	if len(p) < 20 || p[0]>>4 != 4 || binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
		return nil, nil, false
	}
	n, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
	if n < 20 || total > len(p) || n > total {
		return nil, nil, false
	}
	return p[:n], p[n:total], true
}

// parse reads a segment. Where verify is true, one whose checksums are wrong
// is none.
func parse(ip []byte, verify bool) (s segment, ok bool) {
	header, h, ok := datagram(ip)
	if !ok || header[9] != protocolTCP || len(h) < 20 {
		return s, false
	}
	pseudo := checksum.Sum(header[12:20], protocolTCP+uint64(len(h)))
	if verify && (checksum.Of(header) != 0 || checksum.Fold(checksum.Sum(h, pseudo)) != 0xffff) {
		return s, false
	}
	offset := int(h[12]>>4) * 4
	if offset < 20 || offset > len(h) {
		return s, false
	}
	copy(s.src[:], header[12:16])
	copy(s.dst[:], header[16:20])
	copy(s.src[4:], h[:2])
	copy(s.dst[4:], h[2:4])
	s.seq, s.ack = binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	s.flags, s.window = h[13], binary.BigEndian.Uint16(h[14:])
	s.text, s.length = h[offset:], len(header)+len(h)
	s.opts.read(h[20:offset])
	return s, true
}

func (o *options) read(p []byte) {
	o.mss, o.len = 536, len(p)
	for len(p) > 1 && p[0] != 0 {
		if p[0] == 1 {
			p = p[1:]
			continue
		}
		n := int(p[1])
		if n < 2 || n > len(p) {
			return
		}
		switch {
		case p[0] == 2 && n == 4:
			o.mss = int(binary.BigEndian.Uint16(p[2:]))
		case p[0] == 3 && n == 3:
			o.scale, o.hasScale = p[2], true
		case p[0] == 5:
			for b := p[2:n]; len(b) >= 8 && o.sacks < len(o.sack); b = b[8:] {
				o.sack[o.sacks] = span{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
				o.sacks++
			}
		}
		p = p[n:]
	}
}

// tooBig is a router's word that a segment of the flow from src to dst, with
// the sequence number seq, is larger than mtu (RFC 1191 section 4).
type tooBig struct {
	src, dst [6]byte
	seq      uint32
	mtu      int
}

func parseTooBig(ip []byte) (e tooBig, ok bool) {
	header, icmp, ok := datagram(ip)
	if !ok || header[9] != protocolICMP || len(icmp) < 8+28 || icmp[0] != 3 || icmp[1] != 4 {
		return e, false
	}
	e.mtu = int(binary.BigEndian.Uint16(icmp[6:]))
	quoted := icmp[8:]
	n := int(quoted[0]&15) * 4
	if n < 20 || len(quoted) < n+8 || quoted[9] != protocolTCP {
		return e, false
	}
	copy(e.src[:], quoted[12:16])
	copy(e.dst[:], quoted[16:20])
	copy(e.src[4:], quoted[n:])
	copy(e.dst[4:], quoted[n+2:])
	e.seq = binary.BigEndian.Uint32(quoted[n+4:])
	return e, true
}

// Package virtionet is the header that goes before a frame between a driver and a
// device of virtio-net, and before one of a tap with IFF_VNET_HDR.
package virtionet

import (
	"encoding/binary"
	"errors"

	"github.com/seed-012105e5/gonet/packet"
)

// Len is the length of a Header, which is without num_buffers.
const Len = 10

// A Header is struct virtio_net_hdr of Virtual I/O Device (VIRTIO) 1.2, section
// 5.1.6, in little endian:
//
//	0       1          2           4          6             8
//	+-------+----------+-----------+----------+-------------+--------------+
//	| flags | gso_type |  hdr_len  | gso_size | csum_start  | csum_offset  |
//	+-------+----------+-----------+----------+-------------+--------------+
type Header struct {
	Flags, GSOType        uint8
	HdrLen                uint16 // of all headers of a train, in bytes
	GSOSize               uint16 // payload of each segment, in bytes
	CsumStart, CsumOffset uint16 // as in packet.Buffer.SetPartial
}

// Values of Flags and GSOType.
const (
	NeedsCsum = 1 // the checksum is partial
	DataValid = 2 // the checksum has been verified

	GSONone  = 0
	GSOTCPv4 = 1
	GSOECN   = 0x80 // a bit beside the type: CWR belongs in the first segment only
)

// Put writes h to the first Len bytes of p.
func (h Header) Put(p []byte) {
	p[0], p[1] = h.Flags, h.GSOType
	binary.LittleEndian.PutUint16(p[2:], h.HdrLen)
	binary.LittleEndian.PutUint16(p[4:], h.GSOSize)
	binary.LittleEndian.PutUint16(p[6:], h.CsumStart)
	binary.LittleEndian.PutUint16(p[8:], h.CsumOffset)
}

// Parse reads the first Len bytes of p.
func Parse(p []byte) Header {
	return Header{
		Flags:      p[0],
		GSOType:    p[1],
		HdrLen:     binary.LittleEndian.Uint16(p[2:]),
		GSOSize:    binary.LittleEndian.Uint16(p[4:]),
		CsumStart:  binary.LittleEndian.Uint16(p[6:]),
		CsumOffset: binary.LittleEndian.Uint16(p[8:]),
	}
}

const (
	minTCPLen = 20
	flagCWR   = 0x80 // of TCP (RFC 3168 section 6.1)
)

// ErrMalformed: a header does not fit its frame.
var ErrMalformed = errors.New("malformed virtio-net header")

// Mark gives a received frame the marks that stand in its header. Link is how long
// the header of the link layer is. It fails with ErrMalformed.
func (h Header) Mark(b *packet.Buffer, link int) error {
	switch {
	case h.Flags&NeedsCsum != 0:
		if int(h.CsumStart) < link || int(h.CsumStart)+int(h.CsumOffset)+2 > b.Len() {
			return ErrMalformed
		}
		b.SetPartial(int(h.CsumStart), int(h.CsumOffset))
	case h.Flags&DataValid != 0:
		b.Checksum = packet.ChecksumVerified
	}
	switch h.GSOType &^ GSOECN {
	case GSONone:
		return nil
	case GSOTCPv4:
		// A train always has a partial checksum (VIRTIO 1.2 section 5.1.6.4.2).
		if h.GSOSize == 0 || b.Checksum != packet.ChecksumPartial || int(h.CsumStart)+minTCPLen > b.Len() {
			return ErrMalformed
		}
		b.SegmentSize = int(h.GSOSize)
		return nil
	}
	return ErrMalformed // a kind of train that was not negotiated
}

// For makes the header from the marks of a frame that is to be sent. It returns
// false when no device can do what they ask for.
func For(b *packet.Buffer, link int) (h Header, ok bool) {
	frame := b.Bytes()
	if b.Checksum == packet.ChecksumPartial {
		start, offset := b.Partial()
		if start < link || start > 0xffff || offset < 0 || start+offset+2 > len(frame) {
			return h, false
		}
		h.Flags, h.CsumStart, h.CsumOffset = NeedsCsum, uint16(start), uint16(offset)
	}
	if b.SegmentSize == 0 {
		return h, true
	}
	tcp := int(h.CsumStart)
	if h.Flags != NeedsCsum || b.SegmentSize < 0 || b.SegmentSize > 0xffff || tcp+minTCPLen > len(frame) {
		return h, false
	}
	h.GSOType, h.GSOSize = GSOTCPv4, uint16(b.SegmentSize)
	h.HdrLen = uint16(min(tcp+int(frame[tcp+12]>>4)*4, len(frame)))
	if frame[tcp+13]&flagCWR != 0 {
		h.GSOType |= GSOECN
	}
	return h, true
}

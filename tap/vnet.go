package tap

import (
	"encoding/binary"
	"errors"

	"github.com/seed-012105e5/gonet/packet"
)

// vnetLen is the length of a virtio-net header without num_buffers. With it
// the IP header of a frame that has been read lies on a multiple of 8.
const vnetLen = 10

// A vnetHeader goes before each frame of a tap with IFF_VNET_HDR. It is struct
// virtio_net_hdr of Virtual I/O Device (VIRTIO) 1.2, section 5.1.6, in little
// endian:
//
//	0       1          2           4          6             8
//	+-------+----------+-----------+----------+-------------+--------------+
//	| flags | gso_type |  hdr_len  | gso_size | csum_start  | csum_offset  |
//	+-------+----------+-----------+----------+-------------+--------------+
type vnetHeader struct {
	flags, gsoType        uint8
	hdrLen                uint16 // of all headers of a train, in bytes
	gsoSize               uint16 // payload of each segment, in bytes
	csumStart, csumOffset uint16 // as in packet.Buffer.SetPartial
}

// Values of flags and gsoType.
const (
	flagNeedsCsum = 1 // the checksum is partial
	flagDataValid = 2 // the checksum has been verified

	gsoNone  = 0
	gsoTCPv4 = 1
	gsoECN   = 0x80 // a bit beside the type: CWR belongs in the first segment only
)

func (h vnetHeader) put(p []byte) {
	p[0], p[1] = h.flags, h.gsoType
	binary.LittleEndian.PutUint16(p[2:], h.hdrLen)
	binary.LittleEndian.PutUint16(p[4:], h.gsoSize)
	binary.LittleEndian.PutUint16(p[6:], h.csumStart)
	binary.LittleEndian.PutUint16(p[8:], h.csumOffset)
}

func parseVNet(p []byte) vnetHeader {
	return vnetHeader{
		flags:      p[0],
		gsoType:    p[1],
		hdrLen:     binary.LittleEndian.Uint16(p[2:]),
		gsoSize:    binary.LittleEndian.Uint16(p[4:]),
		csumStart:  binary.LittleEndian.Uint16(p[6:]),
		csumOffset: binary.LittleEndian.Uint16(p[8:]),
	}
}

const (
	ethernetLen = 14 // of a header
	vlanLen     = 4  // of the tag that a header may have besides
	minTCPLen   = 20
	flagCWR     = 0x80 // of TCP (RFC 3168 section 6.1)
)

var errMalformed = errors.New("tap: malformed virtio-net header")

// mark gives a received frame the marks that stand in its virtio-net header. Header is
// how long that of the link layer is.
func (h vnetHeader) mark(b *packet.Buffer, header int) error {
	switch {
	case h.flags&flagNeedsCsum != 0:
		if int(h.csumStart) < header || int(h.csumStart)+int(h.csumOffset)+2 > b.Len() {
			return errMalformed
		}
		b.SetPartial(int(h.csumStart), int(h.csumOffset))
	case h.flags&flagDataValid != 0:
		b.Checksum = packet.ChecksumVerified
	}
	switch h.gsoType &^ gsoECN {
	case gsoNone:
		return nil
	case gsoTCPv4:
		// A train always has a partial checksum (VIRTIO 1.2 section 5.1.6.4.2).
		if h.gsoSize == 0 || b.Checksum != packet.ChecksumPartial || int(h.csumStart)+minTCPLen > b.Len() {
			return errMalformed
		}
		b.SegmentSize = int(h.gsoSize)
		return nil
	}
	return errMalformed // a kind of train that nobody has asked for
}

// vnetFor makes the header from the marks of a frame that is to be sent. It
// returns false when the device cannot do what they ask for.
func vnetFor(b *packet.Buffer, header int) (h vnetHeader, ok bool) {
	frame := b.Bytes()
	if b.Checksum == packet.ChecksumPartial {
		start, offset := b.Partial()
		if start < header || start > 0xffff || offset < 0 || start+offset+2 > len(frame) {
			return h, false
		}
		h.flags, h.csumStart, h.csumOffset = flagNeedsCsum, uint16(start), uint16(offset)
	}
	if b.SegmentSize == 0 {
		return h, true
	}
	tcp := int(h.csumStart)
	if h.flags != flagNeedsCsum || b.SegmentSize < 0 || b.SegmentSize > 0xffff || tcp+minTCPLen > len(frame) {
		return h, false
	}
	h.gsoType, h.gsoSize = gsoTCPv4, uint16(b.SegmentSize)
	h.hdrLen = uint16(min(tcp+int(frame[tcp+12]>>4)*4, len(frame)))
	if frame[tcp+13]&flagCWR != 0 {
		h.gsoType |= gsoECN
	}
	return h, true
}

package ipv4

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/packet"
)

// A fragmenter cuts one datagram, or one fragment again, into fragments for a
// smaller MTU (RFC 791 section 3.2). It only reads the datagram.
type fragmenter struct {
	whole   Header
	payload []byte // what has not been cut off yet
	offset  int    // of payload in the original datagram, in bytes
	mtu     int
	last    bool // the end of payload is the end of the original datagram
}

// newFragmenter reads a datagram that starts with a good header, for an MTU of
// at least 68 bytes. Its transport checksum must be complete, for no single
// fragment can have it computed.
func newFragmenter(whole Header, mtu int) fragmenter {
	return fragmenter{whole: whole, payload: whole.Payload(), offset: whole.FragmentOffset(), mtu: mtu, last: !whole.MF()}
}

// next makes the next fragment, with room in front for the link layer; nil
// after the last. The first has all options, and the others those that are
// to be copied.
func (f *fragmenter) next() *packet.Buffer {
	if len(f.payload) == 0 {
		return nil
	}
	var header [MaxHeaderLen]byte
	n := copy(header[:], f.whole[:f.whole.Len()])
	if f.offset != f.whole.FragmentOffset() {
		n = len(copiedOptions(header[:MinHeaderLen], f.whole.Options()))
	}
	size := len(f.payload)
	if n+size > f.mtu {
		size = (f.mtu - n) &^ 7
	}
	h := Header(header[:n])
	h[0] = 4<<4 | uint8(n/4)
	binary.BigEndian.PutUint16(h[2:], uint16(n+size))
	flags := uint16(f.offset / 8)
	if size < len(f.payload) || !f.last {
		flags |= 0x2000 // MF
	}
	binary.BigEndian.PutUint16(h[6:], flags)
	h.updateChecksum()

	b := packet.Get(n + size)
	b.MarkNetwork()
	b.Append(h)
	b.Append(f.payload[:size])
	f.payload = f.payload[size:]
	f.offset += size
	return b
}

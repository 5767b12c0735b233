package link

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/packet"
)

// maxIPLen is the longest IPv4 datagram (RFC 791 section 3.1).
const maxIPLen = 65535

// A Train joins TCP segments as they arrive to one frame of many segments, which
// crosses the layers above as cheaply as one segment does. It is for devices
// that hand over frame by frame, and needs no more of them than that.
//
// What it makes is such that cutting it ([Cut]) gives back the same frames to
// the last bit. So each one carries on where the one before ends, and differs
// from the first in sequence number, IP identification, lengths and checksums
// only. All are of one size but the last, which may be smaller, and PSH may
// stand in the last only. That leaves TCP nothing to miss: what a segment says
// by its flags, options, window or ECN bits is said by the train, or the segment
// comes alone.
//
// The checksums of each segment are verified (RFC 9293 section 3.1). One in
// which one is wrong comes alone, and is dropped and counted where all such are.
// A train has a partial checksum, as one from a device with offloads.
//
// The zero value is ready for Begin, and for frames of Ethernet; IP makes it one for
// datagrams (see [Link.IP]).
type Train struct {
	IP bool

	b    *packet.Buffer
	at   tcpLayout // of the first segment
	size int       // of the text of a segment
	text int       // bytes of text so far
	push byte      // PSH of the last segment
	open bool      // another segment may be joined
}

// Begin starts a train with the frame b, and says whether a further frame could
// be joined to it at all: whether it is worth to look for one. Until End the
// train owns b.
func (t *Train) Begin(b *packet.Buffer) bool {
	*t = Train{IP: t.IP, b: b}
	header := headerLen(t.IP)
	frame := b.Bytes()
	if b.SegmentSize != 0 || b.Checksum != packet.ChecksumComplete {
		return false
	}
	at, ok := parseTCP(frame, header)
	if !ok || at.end != len(frame) || at.tcp != header+minIPLen || frame[at.tcp+13] != flagACK {
		return false
	}
	t.at, t.size, t.text = at, at.end-at.payload, at.end-at.payload
	t.open = t.size > 0 && len(frame)-header < maxIPLen
	return t.open
}

// Open says whether a further frame may be joined.
func (t *Train) Open() bool { return t.open }

// Join appends a copy of the text in frame to the train, if that is its next
// segment. Otherwise it leaves the train as it is.
func (t *Train) Join(frame []byte) bool {
	if !t.open || !t.continues(frame) || !sumsFit(frame, t.at) {
		return false
	}
	if t.text == t.size && !sumsFit(t.b.Bytes(), t.at) { // the first segment waits for a second to be verified
		t.open = false
		return false
	}
	n := len(frame) - t.at.payload
	t.grow(n)
	t.b.Append(frame[t.at.payload:])
	t.text += n
	t.push = frame[t.at.tcp+13] & flagPSH
	t.open = n == t.size && t.push == 0 && t.b.Len()-t.at.ip < maxIPLen
	return true
}

// End returns the train, or the frame with which it began.
func (t *Train) End() *packet.Buffer {
	b := t.b
	if t.text > t.size {
		b.SegmentSize = t.size
		t.finishHeaders()
	}
	*t = Train{IP: t.IP}
	return b
}

// continues says whether the segment in frame is the next one.
func (t *Train) continues(frame []byte) bool {
	first := t.b.Bytes()[:t.at.payload]
	n := len(frame) - len(first)
	if n <= 0 || n > t.size || t.b.Len()-t.at.ip+n > maxIPLen {
		return false
	}
	same := func(from, to int) bool { return string(first[from:to]) == string(frame[from:to]) }
	ip, tcp := t.at.ip, t.at.tcp
	return binary.BigEndian.Uint32(frame[tcp+4:]) == binary.BigEndian.Uint32(first[tcp+4:])+uint32(t.text) &&
		same(ip+12, tcp+4) && // addresses, ports
		same(tcp+8, tcp+13) && // acknowledgement, length of the header
		frame[tcp+13]&^flagPSH == flagACK &&
		same(tcp+14, tcp+16) && // window
		same(tcp+18, len(first)) && // urgent pointer, options
		same(0, ip+2) && // Ethernet, length of the IP header, TOS
		int(binary.BigEndian.Uint16(frame[ip+2:])) == len(frame)-ip &&
		binary.BigEndian.Uint16(frame[ip+4:]) == binary.BigEndian.Uint16(first[ip+4:])+uint16(t.text/t.size) &&
		same(ip+6, ip+10) // fragment, TTL, protocol
}

// grow makes room for n bytes. The train moves to larger Buffers by and by, so
// that a short one does not pin the memory of a long one.
func (t *Train) grow(n int) {
	b := t.b
	if b.Room() >= n {
		return
	}
	t.b = packet.Get(b.Len() + n)
	t.b.Append(b.Bytes())
	t.b.Arrived, t.b.Link, t.b.Group = b.Arrived, b.Link, b.Group
	b.Release()
}

// finishHeaders makes the headers those of the whole train.
func (t *Train) finishHeaders() {
	frame := t.b.Bytes()
	ip, segment := frame[t.at.ip:t.at.tcp], frame[t.at.tcp:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(frame)-t.at.ip))
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksum.Of(ip))
	segment[13] |= t.push
	binary.BigEndian.PutUint16(segment[16:], checksum.Fold(pseudoSum(ip, len(segment))))
	t.b.SetPartial(t.at.tcp, 16)
}

// sumsFit says whether the checksums of IP and TCP in a frame are those that
// Cut writes there. That is more than being right: in ones' complement 0xffff
// is another way to write 0.
func sumsFit(frame []byte, at tcpLayout) bool {
	ip, segment := frame[at.ip:at.tcp], frame[at.tcp:]
	return binary.BigEndian.Uint16(ip[10:]) != 0xffff && binary.BigEndian.Uint16(segment[16:]) != 0xffff &&
		checksum.Of(ip) == 0 && checksum.Fold(checksum.Sum(segment, pseudoSum(ip, len(segment)))) == 0xffff
}

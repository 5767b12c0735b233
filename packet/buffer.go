// Package packet is the unit of ownership of the stack: one packet in memory,
// with room in front for the headers that the layers add on its way out.
//
// Whoever holds a [Buffer] owns it. Sending it on a channel gives it away, and
// the sender must not touch it again. The last holder calls [Buffer.Release].
// There is no reference count; to keep a packet, copy it. The one exception is
// text that must be kept to be sent again: it is lent ([Buffer.Lend]).
package packet

import (
	"net/netip"
	"time"
)

// Headroom is how many bytes [Get] leaves free in front of the data: a
// virtio-net header (12), Ethernet (14), the longest IPv4 header (60) and the
// longest TCP header (60), rounded up.
const Headroom = 160

// MaxSize is the largest data that a Buffer holds: a full IPv4 datagram with
// its Ethernet header, and some room to spare.
const MaxSize = 66 << 10

// ChecksumState says how far the transport checksum of a packet has come.
type ChecksumState uint8

const (
	// ChecksumComplete: the checksum field holds what goes on the wire. On
	// receive this means that nobody has verified it yet.
	ChecksumComplete ChecksumState = iota
	// ChecksumPartial: the field holds the sum of the pseudo-header only; the
	// device, or [Buffer.CompleteChecksum], adds the rest. Received from a
	// peer on the same machine, it means that the packet never crossed a wire
	// and needs no verification.
	ChecksumPartial
	// ChecksumVerified: the device has verified the checksum.
	ChecksumVerified
)

// A Buffer is one packet on its way through the stack, or one train of TCP
// segments that share a header (see SegmentSize).
//
// The memory looks like this; Pull moves the front to the right as headers
// are read, and Push moves it to the left as headers are written:
//
//	0         network        front                end          cap
//	├─headroom──┼─headers read─┼─ Bytes, len = Len ─┼── Room ────┤
type Buffer struct {
	// Arrived is when the link received the packet; zero for a packet made here.
	Arrived time.Time

	// Link is the index of the interface that the packet came in on.
	Link int

	// NextHop is where the link layer is to bring an outgoing IP datagram. Set by ipv4.Tx.
	NextHop netip.Addr

	// Group marks a packet sent to a link-layer group (broadcast or
	// multicast) when received, and one that must be sent to such a group on
	// the way out.
	Group bool

	// NoLoop has ipv4.Tx give no copy to this host of a packet to a group, which
	// it may be in as well.
	NoLoop bool

	// Checksum is the state of the transport checksum.
	Checksum ChecksumState

	// SegmentSize is 0 for a packet that goes on the wire as it is.
	// Otherwise the Buffer holds a train: TCP payload of many segments behind
	// one header, to be cut into segments of this many payload bytes by the
	// device or, at the last hop, in software.
	SegmentSize int

	sumStart  int // of a ChecksumPartial: index in mem where summing starts
	sumOffset int // from sumStart to the checksum field

	mem     []byte
	network int // index in mem of the network header
	front   int
	end     int
	holders uint32 // see lend.go
	check   check
}

// Bytes is the packet from its front to its end. It stays valid until the
// holder gives the Buffer away.
func (b *Buffer) Bytes() []byte { return b.mem[b.front:b.end] }

// Len is the number of bytes from front to end.
func (b *Buffer) Len() int { return b.end - b.front }

// Room is how many bytes Extend can add behind the end; none, where that may be
// another's.
func (b *Buffer) Room() int {
	if b.Lent() {
		return 0
	}
	return len(b.mem) - b.end
}

// Size is how much memory the Buffer pins, in bytes.
func (b *Buffer) Size() int { return len(b.mem) }

// Pull strips n bytes from the front and returns them: a header that has been
// read. It panics when the packet is shorter, so the caller checks Len first.
func (b *Buffer) Pull(n int) []byte {
	b.check.alive()
	if n > b.Len() {
		panic("packet: Pull beyond the end")
	}
	b.front += n
	return b.mem[b.front-n : b.front]
}

// Push grows the packet by n bytes in front and returns them, to be filled
// with a header. What they hold before is undefined.
func (b *Buffer) Push(n int) []byte {
	b.check.alive()
	if n > b.front {
		panic("packet: Push beyond the headroom")
	}
	b.front -= n
	return b.mem[b.front : b.front+n]
}

// Extend grows the packet by n bytes behind its end and returns them, to be
// filled with data. What they hold before is undefined.
func (b *Buffer) Extend(n int) []byte {
	b.check.alive()
	if n > b.Room() {
		panic("packet: Extend beyond the room")
	}
	b.end += n
	return b.mem[b.end-n : b.end]
}

// Append copies as much of p behind the end as there is room for, and returns
// how much that was.
func (b *Buffer) Append(p []byte) int {
	n := min(len(p), b.Room())
	CountCopy(n)
	return copy(b.Extend(n), p)
}

// Trim keeps the first n bytes, and drops what is behind them.
func (b *Buffer) Trim(n int) {
	b.check.alive()
	if n < 0 || n > b.Len() {
		panic("packet: Trim beyond the end")
	}
	b.end = b.front + n
}

// MarkNetwork notes that the network header starts at the front.
func (b *Buffer) MarkNetwork() { b.network = b.front }

// Network is the packet from its network header, as last marked, to its end.
// It reaches back over headers that have been pulled since.
func (b *Buffer) Network() []byte { return b.mem[b.network:b.end] }

// PullBack moves the front back to the network header, which undoes the Pulls
// since MarkNetwork: for an error report that quotes the whole datagram.
func (b *Buffer) PullBack() { b.front = b.network }

// Clone copies the packet, its marks and the headers before its front into a
// Buffer of its own.
func (b *Buffer) Clone() *Buffer {
	b.check.alive()
	c := Get(b.end - Headroom) // indices stay the same, so the marks stay true
	c.Arrived, c.Link, c.NextHop, c.Group, c.NoLoop = b.Arrived, b.Link, b.NextHop, b.Group, b.NoLoop
	c.Checksum, c.sumStart, c.sumOffset, c.SegmentSize = b.Checksum, b.sumStart, b.sumOffset, b.SegmentSize
	c.network, c.front, c.end = b.network, b.front, b.end
	CountCopy(copy(c.mem[:b.end], b.mem[:b.end]))
	return c
}

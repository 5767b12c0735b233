// Package link describes a network card as two channels, and has the cards
// and the middleware that live in memory: Pipe, Loopback, Impair, Tee.
package link

import "github.com/seed-012105e5/gonet/packet"

// A Link is a network card: two channels of frames, and what the layers above must
// know of the card. Frames are those of Ethernet, or, where IP says so, datagrams
// without a link-layer header.
//
// The card is used by one owner, who keeps two rules and may rely on three.
//
// The owner receives from Rx, and sends frames on Tx from one goroutine.
// Closing Tx closes the card.
//
// The card always drains Tx: where it cannot keep up it drops, as hardware
// does, and counts. It takes any frame: trains (packet.Buffer.SegmentSize)
// and partial checksums too, and what its device cannot do it does in
// software (see [Cut]). It closes Rx when nothing more will come, be it that
// Tx was closed or that the device has gone; in the second case it goes on
// draining Tx until that is closed.
type Link struct {
	// Name is for people: "tap0", "pipe".
	Name string

	// Rx carries the frames that arrive, each with its time of arrival.
	Rx <-chan *packet.Buffer

	// Tx takes the frames to be sent.
	Tx chan<- *packet.Buffer

	// MTU is the longest IP datagram that fits in a frame, in bytes.
	MTU int

	// MAC is the address of the card; it has the type ethernet.Addr.
	MAC [6]byte

	// IP says that the link joins two hosts, or a host and whoever carries its
	// datagrams on, without Ethernet: a frame is an IP datagram, there is no MAC,
	// and no ARP. So are tuns, and tunnels.
	IP bool

	// Stats counts what the card does; never nil.
	Stats *Stats

	// Refresh brings those counters up to date that somebody else keeps, as the
	// kernel does for a tap. Anybody may call it at any time. Nil means that there
	// are none.
	Refresh func()
}

// Counters is l.Stats, up to date.
func (l Link) Counters() *Stats {
	if l.Refresh != nil {
		l.Refresh()
	}
	return l.Stats
}

// headerLen is how many bytes of a frame are the link layer's.
func (l Link) headerLen() int { return headerLen(l.IP) }

// headerLen is that of a link of datagrams, or of Ethernet.
func headerLen(ip bool) int {
	if ip {
		return 0
	}
	return ethernetLen
}

// A Middleware changes what a link does to its frames.
type Middleware func(Link) Link

// QueueLen is how many frames the channels of a link hold. Trains of 64 KB are
// no longer in the cache when they have waited behind more; with fewer, small
// frames come in too small a batch.
const QueueLen = 16

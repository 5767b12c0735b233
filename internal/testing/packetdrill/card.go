package packetdrill

import (
	"encoding/binary"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A card is the network card of the stack, with the peer at the other end of
// its cable. It answers ARP by itself, and shows all else that the stack
// sends.
type card struct {
	hosts
	mtu     int
	cut     bool // show trains cut into segments
	tcpOnly bool // show nothing else
	rx      chan *packet.Buffer
	tx      chan *packet.Buffer
	seen    chan *wire
}

// seenQueue is how many segments may wait to be looked at: more than a script
// has lines.
const seenQueue = 1 << 14

func newCard(cfg *config) *card {
	c := &card{
		hosts: hosts{
			ourMAC: [6]byte{2, 0, 0, 0, 0, 0x0a}, peerMAC: [6]byte{2, 0, 0, 0, 0, 0x0b},
			our: cfg.local.As4(), peer: cfg.remote.As4(),
		},
		mtu: cfg.mtu, cut: cfg.cut, tcpOnly: cfg.linux,
		rx: make(chan *packet.Buffer, link.QueueLen), tx: make(chan *packet.Buffer, link.QueueLen),
		seen: make(chan *wire, seenQueue),
	}
	go c.run()
	return c
}

// link is the card as the stack sees it.
func (c *card) link() link.Link {
	return link.Link{Name: "wire", Rx: c.rx, Tx: c.tx, MTU: c.mtu, MAC: c.ourMAC, Stats: new(link.Stats)}
}

// run takes what the stack sends, until that closes the card.
func (c *card) run() {
	for b := range c.tx {
		c.take(b)
	}
	close(c.rx)
	close(c.seen)
}

// arrive brings a frame to the stack.
func (c *card) arrive(b *packet.Buffer) {
	b.Arrived = time.Now()
	c.rx <- b
}

// take looks at one frame of the stack.
func (c *card) take(b *packet.Buffer) {
	if f := b.Bytes(); len(f) >= ethLen && binary.BigEndian.Uint16(f[12:]) == typeARP {
		answer := c.arpAnswer(f[ethLen:])
		b.Release()
		if answer != nil {
			c.arrive(answer)
		}
		return
	}
	now := time.Now()
	whole := c.parse(b.Bytes(), false)
	if c.tcpOnly && whole.err == errNotTCP {
		b.Release()
		return
	}
	whole.at = now
	whole.ip.train.value = b.SegmentSize
	whole.longest = 0
	ok := link.Cut(b, func(piece *packet.Buffer) {
		w := c.parse(piece.Bytes(), true)
		w.at = now
		if n := piece.Len() - ethLen; n > c.mtu && w.err == nil {
			w.err = tooLong(n, c.mtu)
		}
		if whole.err == nil {
			whole.err = w.err
		}
		whole.longest = max(whole.longest, w.longest)
		if c.cut {
			c.seen <- w
		}
		piece.Release()
	})
	if !ok {
		whole.err = errMalformed
	}
	if !c.cut || !ok {
		c.seen <- whole
	}
}

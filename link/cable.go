package link

// Cable is [Pipe] with a wire between the ends, ab and ba being what it does
// to the frames of either. It costs half of what a Pipe with [Impair] does, and
// no frame is dropped but by the wire: an owner who is late holds it up.
//
// The owner who closes the Tx of one end closes its Rx at once. The frames
// under way still arrive at the other end before its Rx is closed, too; what
// that end sends from then on is dropped.
func Cable(cfg PipeConfig, ab, ba Impairment) (Link, Link) {
	a, b, la, lb := cfg.ends()
	aGone, bGone := make(chan struct{}), make(chan struct{})
	go impair(a.tx, b.rx, newCable(ab, 0, a, b), aGone, bGone)
	go impair(b.tx, a.rx, newCable(ba, 1, b, a), bGone, aGone)
	return la, lb
}

// newCable returns the machine for what from sends to to.
func newCable(c Impairment, stream uint64, from, to *end) *impairer {
	m := newImpairer(c, stream, headerLen(from.ip), from.stats)
	m.card = &card{longest: headerLen(from.ip) + from.mtu, sent: from.stats, arrived: to.stats}
	return m
}

// A card is what an impairer does in the place of one.
type card struct {
	longest       int // frame that may be sent, in bytes
	sent, arrived *Stats
}

// takes counts a frame of n bytes, if it may be sent.
func (c *card) takes(n int) bool {
	if c == nil {
		return true
	}
	if n > c.longest {
		c.sent.DropTooLong.Add(1)
		return false
	}
	c.sent.TxFrames.Add(1)
	c.sent.TxBytes.Add(uint64(n))
	return true
}

// gives counts a frame of n bytes that arrives.
func (c *card) gives(n int) {
	if c != nil {
		c.arrived.RxFrames.Add(1)
		c.arrived.RxBytes.Add(uint64(n))
	}
}

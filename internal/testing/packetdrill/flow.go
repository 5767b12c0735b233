package packetdrill

// A flow is one connection as the network sees it: the ports of both ends,
// and what the numbers of a script are relative to.
type flow struct {
	peer          int
	local, remote uint16 // ports

	linux       bool // numbers are as in scripts for packetdrill itself: see stream.script
	ours, peers stream
	cookie      *[]byte // of Fast Open, as the stack has given it to the peer's address
	mss         int     // that the peer has offered; 0 before
}

// A stream is one direction of a flow.
type stream struct {
	known bool
	isn   uint32 // where sequence numbers begin
	text  uint32 // the sequence number of the first byte of text

	tsKnown bool
	ts      uint32            // where timestamps begin
	tsSent  map[uint32]uint32 // with linux: what the script calls a timestamp that was sent, and what it was

	// With linux: what the script calls the initial sequence number. It counts on
	// segments with SYN only: on all others numbers are relative to it.
	script      uint32
	scriptKnown bool
}

// Where the numbers of peers begin: both shortly before the wrap.
const (
	peerISN = 0xffffff00
	peerTS  = 0xffffff00
)

// freshStep is how far beyond the old numbers those of a new connection of the
// same peer begin.
const freshStep = 1 << 24

func (r *run) newFlow(peer int, local, remote uint16) *flow {
	return &flow{
		peer: peer, local: local, remote: remote, cookie: &r.cookie, linux: r.cfg.linux,
		ours: stream{tsSent: make(map[uint32]uint32)}, peers: stream{known: true, isn: peerISN, text: peerISN + 1, tsKnown: true, ts: peerTS},
	}
}

// arriving turns a segment of a script into what crosses the wire. A TS ecr is
// relative only beside an ACK: a SYN echoes nothing.
func (f *flow) arriving(g segment) segment {
	if g.ip.fresh {
		f.peers.isn += freshStep
		f.ours.known, f.ours.tsKnown = false, false
	}
	hasACK := g.has(ack)
	if f.linux && g.has(syn) {
		f.peers.call(g.seq)
		g.seq -= f.peers.script
		g.ack -= f.ours.script
	}
	g.seq += f.peers.isn
	if hasACK && f.ours.known {
		g.ack += f.ours.isn
	}
	if g.has(syn) {
		f.peers.text = g.seq + 1
		if o := find(g.options, optMSS); o != nil {
			f.mss = int(o.a)
		} else {
			f.mss = 536 // MUST-15
		}
	}
	g.options = f.shift(g.options, &f.peers, &f.ours, hasACK, +1)
	return g
}

// departed turns a segment that the stack has sent into a script's notation.
// What the script wants is looked at where a number is seen for the first
// time: it says what this number is called.
func (f *flow) departed(g, want segment) segment {
	if g.has(syn) && (!f.ours.known || want.ip.fresh) {
		f.ours.known, f.ours.isn = true, g.seq-want.seq
		if f.linux {
			f.ours.isn = g.seq
			f.ours.call(want.seq)
		}
	}
	if g.has(syn) {
		f.ours.text = g.seq + 1
	}
	f.sent(g.options, want.options)
	if o := find(g.options, optTimestamp); o != nil && (!f.ours.tsKnown || want.ip.fresh) {
		f.ours.tsKnown, f.ours.ts = true, o.a
		if w := find(want.options, optTimestamp); w != nil {
			f.ours.ts -= w.a
		}
	}
	if o := find(g.options, optFastOpen); o != nil && len(o.data) > 0 {
		*f.cookie = o.data
	}
	if f.ours.known {
		g.seq -= f.ours.isn
	}
	if g.has(ack) {
		g.ack -= f.peers.isn
	}
	if f.linux && g.has(syn) {
		g.seq += f.ours.script
		g.ack += f.peers.script
	}
	g.options = f.shift(g.options, &f.ours, &f.peers, g.has(ack), -1)
	g.ip.peer = said{f.peer, true}
	return g
}

// call notes what a script calls an initial sequence number.
func (s *stream) call(isn uint32) {
	if !s.scriptKnown {
		s.scriptKnown, s.script = true, isn
	}
}

// sent notes what the script calls a timestamp of ours, where it does not
// compare it: later the peer echoes it by that name.
func (f *flow) sent(got, want []option) {
	o, w := find(got, optTimestamp), find(want, optTimestamp)
	if f.linux && o != nil && w != nil {
		f.ours.tsSent[w.a] = o.a
	}
}

// shift moves the numbers in options of a segment from one stream, which
// answers the other, by where these begin: up for the wire, down for a script.
func (f *flow) shift(list []option, from, other *stream, hasACK bool, up int) []option {
	move := func(v, by uint32) uint32 {
		if up < 0 {
			return v - by
		}
		return v + by
	}
	shifted := make([]option, len(list))
	for i, o := range list {
		switch {
		case o.raw:
		case o.kind == optTimestamp:
			o.a = move(o.a, from.ts)
			echoed, known := other.tsSent[o.b]
			switch {
			case !hasACK:
			case known && up > 0:
				o.b = echoed
			case other.tsKnown:
				o.b = move(o.b, other.ts)
			}
		case o.kind == optSACK:
			blocks := make([]block, len(o.blocks))
			for j, b := range o.blocks {
				blocks[j] = block{move(b.left, other.isn), move(b.right, other.isn)}
			}
			o.blocks = blocks
		case o.known:
			o.data = *f.cookie
		}
		shifted[i] = o
	}
	return shifted
}

package trouble

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/sim"
)

// A checker sees all segments that one host sends and receives, and holds them
// against the sequence-space rules of RFC 9293. It knows nothing of the host
// but what has passed its card.
type checker struct {
	mu sync.Mutex // of flows: the wires of both directions report

	net   *sim.Net
	name  string
	end   int // whose text the host sends
	flows map[uint64]*flow
}

func newChecker(n *sim.Net, name string, end int) *checker {
	return &checker{net: n, name: name, end: end, flows: make(map[uint64]*flow)}
}

// A flow is what is known of one connection of the host.
type flow struct {
	iss, nxt, una uint32 // una is the highest that the peer has acknowledged
	opened        bool   // the host has sent a SYN

	irs, top uint32 // top is the end of what has arrived
	heard    bool   // a SYN has arrived

	limit     uint32 // right edge of the window that the peer has given
	limited   bool
	edge, ack uint32 // right edge of the window that the host has given, and its last ACK
	given     bool

	own, peer options
}

// sent and arrived are the two watchers of a checker.
type (
	sent    struct{ *checker }
	arrived struct{ *checker }
)

func (c sent) Enters(now time.Time, frame []byte) {
	if s, ok := parse(frame, false); ok {
		c.sends(s)
	}
}
func (sent) Arrives(time.Time, []byte)   {}
func (arrived) Enters(time.Time, []byte) {}
func (c arrived) Arrives(now time.Time, frame []byte) {
	if s, ok := parse(frame, true); ok {
		c.hears(s)
	}
}

// A segment is what the checker must know of one.
type segment struct {
	src, dst   [6]byte // address and port
	seq, ack   uint32
	flags      byte
	window     uint16
	opts       options
	optionsLen int
	text       []byte
	length     int // of the datagram
}

const fin, syn, rst, ackFlag = 1, 2, 4, 16

// end is the sequence number behind s.
func (s *segment) end() uint32 {
	n := uint32(len(s.text))
	if s.flags&syn != 0 {
		n++
	}
	if s.flags&fin != 0 {
		n++
	}
	return s.seq + n
}

type options struct {
	mss      int
	scale    uint8
	hasScale bool
}

// parse reads a frame. Where verify is true, a frame whose checksums are wrong
// is none.
func parse(frame []byte, verify bool) (s segment, ok bool) {
	const tcp = 6
	if len(frame) < ipAt+40 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[ipAt]>>4 != 4 || frame[ipAt+9] != tcp {
		return s, false
	}
	ip := frame[ipAt:]
	head, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if head < 20 || total > len(ip) || head+20 > total {
		return s, false
	}
	h := ip[head:total]
	pseudo := checksum.Sum(ip[12:20], tcp+uint64(len(h)))
	if verify && (checksum.Of(ip[:head]) != 0 || checksum.Fold(checksum.Sum(h, pseudo)) != 0xffff) {
		return s, false
	}
	offset := int(h[12]>>4) * 4
	if offset < 20 || offset > len(h) {
		return s, false
	}
	copy(s.src[:], ip[12:16])
	copy(s.dst[:], ip[16:20])
	copy(s.src[4:], h[:2])
	copy(s.dst[4:], h[2:4])
	s.seq, s.ack = binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	s.flags, s.window = h[13], binary.BigEndian.Uint16(h[14:])
	s.text, s.length, s.optionsLen = h[offset:], total, offset-20
	s.opts.read(h[20:offset])
	return s, true
}

func (o *options) read(p []byte) {
	o.mss = 536
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
		}
		p = p[n:]
	}
}

// after compares sequence numbers (RFC 9293 section 3.4).
func after(a, b uint32) bool { return int32(a-b) > 0 }

func (c *checker) wrong(s *segment, format string, args ...any) {
	c.net.Fail(fmt.Errorf("%s at %v: seq %d ack %d flags %02x window %d text %d: %s", c.name, c.net.Now(),
		s.seq, s.ack, s.flags, s.window, len(s.text), fmt.Sprintf(format, args...)))
}

// key tells the connections of a host apart.
func key(own, peer [6]byte) uint64 {
	return uint64(binary.BigEndian.Uint16(own[4:]))<<48 | uint64(binary.BigEndian.Uint32(peer[:]))<<16 | uint64(binary.BigEndian.Uint16(peer[4:]))
}

func (c *checker) flow(own, peer [6]byte) *flow {
	k := key(own, peer)
	if c.flows[k] == nil {
		c.flows[k] = new(flow)
	}
	return c.flows[k]
}

// sends checks what the host sends. Resets answer to anything, so they have no
// place in the sequence space.
func (c *checker) sends(s segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.flow(s.src, s.dst)
	if s.flags&rst != 0 {
		return
	}
	if s.flags&syn != 0 {
		if !f.opened || f.iss != s.seq {
			heard := *f
			*f = flow{irs: heard.irs, top: heard.top, heard: heard.heard, peer: heard.peer}
			f.opened, f.iss, f.nxt, f.una, f.own = true, s.seq, s.seq+1, s.seq, s.opts
		}
	}
	if !f.opened {
		return // an answer to a stranger
	}
	c.sendsText(f, &s)
	if after(s.end(), f.nxt) {
		f.nxt = s.end()
	}
	if s.flags&ackFlag == 0 || !f.heard {
		return
	}
	if after(s.ack, f.top) {
		c.wrong(&s, "acknowledges %d bytes that have not arrived", s.ack-f.top)
	}
	if f.given && after(f.ack, s.ack) {
		c.wrong(&s, "acknowledges less than before: %d", f.ack)
	}
	edge := s.ack + f.window(&s, f.own)
	if f.given && after(f.edge, edge) { // SHLD-14: a window is not shrunk
		c.wrong(&s, "the right edge of the window moves left by %d", f.edge-edge)
	}
	f.ack, f.edge, f.given = s.ack, edge, true
}

// sendsText checks the text of a segment and its place.
func (c *checker) sendsText(f *flow, s *segment) {
	n := len(s.text)
	if f.heard && n+s.optionsLen > f.peer.mss { // MUST-16; RFC 6691 section 2
		c.wrong(s, "text and options of %d bytes for an MSS of %d", n+s.optionsLen, f.peer.mss)
	}
	if after(s.seq, f.nxt) {
		c.wrong(s, "leaves a hole behind SND.NXT %d", f.nxt)
	}
	from := int(int32(s.seq - f.iss - 1))
	if n == 0 || s.flags&syn != 0 || from < 0 {
		return
	}
	if i := differs(s.text, c.end, from); i >= 0 {
		c.wrong(s, "byte %d of the text is not what was written", from+i)
	}
	if last := s.seq + uint32(n); f.limited && after(last, f.limit) && n > 1 { // one byte probes a closed window (MUST-35)
		c.wrong(s, "%d bytes beyond the window of the peer", last-f.limit)
	}
}

// hears checks what arrives at the host, which comes from the other host: what
// that acknowledges has been sent (RFC 9293 section 3.3.1).
func (c *checker) hears(s segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.flow(s.dst, s.src)
	if s.flags&rst != 0 {
		return
	}
	switch {
	case s.flags&syn != 0 && f.given && f.irs != s.seq:
		return // not of this connection
	case s.flags&syn != 0 && (!f.heard || f.irs != s.seq):
		f.heard, f.irs, f.top, f.peer = true, s.seq, s.end(), s.opts
	case !f.heard:
		return
	}
	if after(s.end(), f.top) {
		f.top = s.end()
	}
	if s.flags&ackFlag == 0 || !f.opened {
		return
	}
	if after(s.ack, f.nxt) {
		c.wrong(&s, "the peer acknowledges more than SND.NXT %d", f.nxt)
	}
	if after(s.ack, f.una) {
		f.una = s.ack
	}
	limit := s.ack + f.window(&s, f.peer)
	if !f.limited || after(limit, f.limit) {
		f.limit, f.limited = limit, true
	}
}

// window is that of a segment whose sender has sent the options o with its SYN.
func (f *flow) window(s *segment, o options) uint32 {
	w := uint32(s.window)
	if s.flags&syn == 0 && f.own.hasScale && f.peer.hasScale {
		w <<= o.scale
	}
	return w
}

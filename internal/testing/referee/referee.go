// Package referee watches a host's TCP from outside: it sees the datagrams that
// the host sends and receives, knows nothing else of it, and calls a foul when
// they break the rules that hold at every moment, whatever the network does.
//
//   - What goes out is what was written, in order, without holes, not beyond
//     the window of the peer, not what the peer has acknowledged, and nothing
//     behind a FIN (RFC 9293 sections 3.3.1 and 3.6).
//   - What is acknowledged, cumulatively or by SACK, has arrived; and never
//     less than before.
//   - The right edge of the window never moves left (SHLD-14).
//   - No segment is larger than the peer's MSS, less the options, and the path
//     allow (MUST-16, RFC 6691, RFC 1191).
package referee

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// A Referee watches one host. Its methods may be called from any goroutine.
type Referee struct {
	// Foul is told of what is wrong.
	Foul func(error)

	// Differs says where p is not what the host writes, from byte from of any
	// of its connections on; less than 0 is nowhere. Nil means that the text
	// does not matter.
	Differs func(p []byte, from int) int

	mu          sync.Mutex
	flows       map[uint64]*flow
	sent, heard int
}

// Seen is how many segments the referee has judged.
func (r *Referee) Seen() (sent, heard int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent, r.heard
}

// A flow is what is known of one connection of the host.
type flow struct {
	iss, nxt uint32
	una      uint32 // the highest that the peer has acknowledged,
	unaAt    time.Time
	opened   bool // the host has sent a SYN
	finAt    uint32
	finSent  bool

	hello
	heard bool   // a SYN has arrived
	again *hello // and another one since, which may begin the next connection

	limit     uint32 // right edge of the window that the peer has given
	limited   bool
	edge, ack uint32 // right edge of the window that the host has given, and its last ACK
	given     bool

	path   int // the largest datagram that routers let pass; 0 when none has complained
	pathAt time.Time
	passed int // the largest datagram that has arrived
	sized  []sized

	own options
}

// A hello is the SYN of the peer, and what has arrived since.
type hello struct {
	irs  uint32
	got  received
	peer options
}

// sized is the size of a datagram that is on its way.
type sized struct {
	end    uint32
	length int
}

const (
	// settling is how long segments may be on their way to the card which were
	// made before the last one arrived.
	settling = time.Millisecond

	// remembered is how long a router's word holds at the least (RFC 1191
	// section 6.3, with some room).
	remembered = 9 * time.Minute
)

// Sends sees an IPv4 datagram that the host sends; its checksums need not be
// complete.
func (r *Referee) Sends(now time.Time, ip []byte) {
	s, ok := parse(ip, false)
	if !ok || s.flags&rst != 0 { // resets answer to anything, and have no place in the sequence space
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent++
	f := r.flow(s.src, s.dst)
	if s.flags&syn != 0 && (!f.opened || f.iss != s.seq) {
		if f.again != nil {
			f.hello = *f.again
		}
		*f = flow{opened: true, iss: s.seq, nxt: s.seq + 1, una: s.seq, own: s.opts, heard: f.heard, hello: f.hello}
	}
	if !f.opened {
		return // an answer to a stranger
	}
	r.checkText(now, f, &s)
	r.checkSize(now, f, &s)
	f.nxt = later(f.nxt, s.end())
	if s.flags&ack != 0 && f.heard {
		r.checkACK(f, &s)
	}
}

// checkText checks the place of a segment in what the host sends, and its
// text.
func (r *Referee) checkText(now time.Time, f *flow, s *segment) {
	n := len(s.text)
	if after(s.seq, f.nxt) {
		r.foul(s, "leaves a hole behind SND.NXT %d", f.nxt)
	}
	if f.finSent && (n > 0 && after(s.textEnd(), f.finAt) || s.flags&fin != 0 && s.textEnd() != f.finAt) {
		r.foul(s, "goes on behind the FIN at %d", f.finAt)
	}
	if s.flags&fin != 0 {
		f.finAt, f.finSent = s.textEnd(), true
	}
	from := int(int32(s.start() - f.iss - 1))
	if n == 0 || from < 0 {
		return
	}
	if r.Differs != nil {
		if i := r.Differs(s.text, from); i >= 0 {
			r.foul(s, "byte %d of the text is not what was written", from+i)
		}
	}
	// Old text may go again beyond the window (RFC 9293 section 3.8.6), and one
	// byte probes a closed one (MUST-36).
	isNew, probe := after(s.textEnd(), f.nxt), n == 1 && s.start() == f.limit
	if beyond := int32(s.textEnd() - f.limit); f.limited && beyond > 0 && isNew && !probe {
		r.foul(s, "%d bytes beyond the window of the peer", beyond)
	}
	if !after(s.end(), f.una) && now.Sub(f.unaAt) > settling {
		r.foul(s, "sends again what was acknowledged up to %d", f.una)
	}
}

// checkSize checks that a segment is not larger than it may be.
func (r *Referee) checkSize(now time.Time, f *flow, s *segment) {
	if n := len(s.text) + s.opts.len; f.heard && n > f.peer.mss {
		r.foul(s, "text and options of %d bytes for an MSS of %d", n, f.peer.mss)
	}
	// A router that speaks against what has arrived need not be believed at
	// once (RFC 5927 section 7.2).
	if age := now.Sub(f.pathAt); f.path >= f.passed && s.length > f.path && f.path > 0 && age > settling && age < remembered {
		r.foul(s, "a datagram of %d bytes for a path of %d", s.length, f.path)
	}
	if len(s.text) > 0 && s.length > f.passed && len(f.sized) < 1000 && s.seq == f.nxt {
		f.sized = append(f.sized, sized{s.end(), s.length})
	}
}

// checkACK checks what a segment tells of the host's receiving.
func (r *Referee) checkACK(f *flow, s *segment) {
	if after(s.ack, f.got.nxt) {
		r.foul(s, "acknowledges %d bytes that have not arrived", s.ack-f.got.nxt)
	}
	if f.given && after(f.ack, s.ack) {
		r.foul(s, "acknowledges less than before: %d", f.ack)
	}
	for _, b := range s.opts.sack[:s.opts.sacks] {
		if !after(b.right, b.left) || !f.got.has(b) {
			r.foul(s, "reports %d:%d, which have not arrived", b.left, b.right)
		}
	}
	if s.flags&syn != 0 && f.given {
		// A SYN that goes again does not scale its window (RFC 7323 section
		// 2.2). For a peer that takes it, it is the first promise.
		return
	}
	edge := s.ack + f.window(s, f.own)
	if f.given && after(f.edge, edge) {
		r.foul(s, "the right edge of the window moves left by %d", f.edge-edge)
	}
	f.ack, f.edge, f.given = s.ack, edge, true
}

// Hears sees an IPv4 datagram that arrives at the host, and that another TCP
// or a router has sent. That the peer acknowledges only what was sent is
// checked too.
func (r *Referee) Hears(now time.Time, ip []byte) {
	if e, ok := parseTooBig(ip); ok {
		r.hearsTooBig(now, &e)
		return
	}
	s, ok := parse(ip, true)
	if !ok || s.flags&rst != 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard++
	f := r.flow(s.dst, s.src)
	switch {
	case s.flags&syn != 0 && f.given && f.irs != s.seq: // not of this connection
		f.again = &hello{irs: s.seq, peer: s.opts, got: received{nxt: s.end()}}
		return
	case s.flags&syn != 0 && (!f.heard || f.irs != s.seq):
		f.heard, f.hello = true, hello{irs: s.seq, peer: s.opts, got: received{nxt: s.seq + 1}}
	case !f.heard:
		return
	}
	accepts := f.accepts(&s)
	f.got.add(span{s.seq, s.end()})
	if s.flags&ack == 0 || !f.opened {
		return
	}
	if after(s.ack, f.nxt) {
		r.foul(&s, "the peer acknowledges more than SND.NXT %d", f.nxt)
	}
	if after(s.ack, f.una) && accepts {
		f.una, f.unaAt = s.ack, now
		for len(f.sized) > 0 && !after(f.sized[0].end, s.ack) {
			f.passed = max(f.passed, f.sized[0].length)
			f.sized = f.sized[1:]
		}
	}
	limit := s.ack + f.window(&s, f.peer)
	if !f.limited || after(limit, f.limit) {
		f.limit, f.limited = limit, true
	}
}

// accepts says whether the host heeds the acknowledgement of s: the segment is
// in the window (RFC 9293 section 3.10.7.4), and brings something new or
// nothing.
func (f *flow) accepts(s *segment) bool {
	switch {
	case !f.given || s.seq == f.got.nxt:
		return true
	case s.end() == s.seq:
		return after(s.seq, f.got.nxt) && !after(s.seq, f.edge)
	}
	return after(s.end(), f.got.nxt) && after(f.edge, s.seq)
}

// hearsTooBig takes a router's word, if it is about something in flight on a
// connection whose handshake is over (RFC 5927 section 4.1).
func (r *Referee) hearsTooBig(now time.Time, e *tooBig) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.flow(e.src, e.dst)
	if !f.opened || f.una == f.iss || after(f.una, e.seq) || !after(f.nxt, e.seq) || e.mtu < leastPath {
		return
	}
	if f.path == 0 || e.mtu < f.path {
		f.path, f.pathAt = e.mtu, now
	}
}

// leastPath is the least that a host is asked to believe of a path.
const leastPath = 552

// window is that of a segment whose sender has sent the options o with its SYN.
func (f *flow) window(s *segment, o options) uint32 {
	w := uint32(s.window)
	if s.flags&syn == 0 && f.own.hasScale && f.peer.hasScale {
		w <<= o.scale
	}
	return w
}

func (r *Referee) flow(own, peer [6]byte) *flow {
	k := uint64(binary.BigEndian.Uint16(own[4:]))<<48 | uint64(binary.BigEndian.Uint32(peer[:]))<<16 | uint64(binary.BigEndian.Uint16(peer[4:]))
	if r.flows == nil {
		r.flows = make(map[uint64]*flow)
	}
	if r.flows[k] == nil {
		r.flows[k] = new(flow)
	}
	return r.flows[k]
}

func (r *Referee) foul(s *segment, format string, args ...any) {
	r.Foul(fmt.Errorf("seq %d ack %d flags %02x window %d text %d: %s",
		s.seq, s.ack, s.flags, s.window, len(s.text), fmt.Sprintf(format, args...)))
}

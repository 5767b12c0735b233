package machine

import (
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// The client's side of Fast Open (RFC 7413 section 4.2).

// fastOpenPause is how long a server is dialled without the option after a SYN
// with it has had no answer: something on the path may drop such SYNs (RFC
// 7413 section 4.1.3.1).
const fastOpenPause = time.Hour

// A path is a local and a server's address: cookies belong to both.
type path struct{ local, remote netip.Addr }

// A server is what is remembered of one (section 4.1.3).
type server struct {
	cookie segment.Cookie
	mss    int
	paused time.Time // no Fast Open until then
}

// servers is the cache of all servers, bounded; the oldest makes room.
type servers struct {
	byPath map[path]server
	queue  ring.Queue[path] // in the order in which they came
	limit  int
}

// attempt is what a new connection of f needs for its Fast Open, or nil when
// there is to be none now.
func (c *servers) attempt(now time.Time, f ip.Flow) *FastOpen {
	s := c.byPath[path{f.Local.Addr(), f.Remote.Addr()}]
	if s.paused.After(now) {
		return nil
	}
	return &FastOpen{offer: segment.Cookie{Present: true, Len: s.cookie.Len, Value: s.cookie.Value}, mss: s.mss}
}

// learn takes the outcome o of a handshake of f (section 4.1.3).
func (c *servers) learn(now time.Time, f ip.Flow, o *FastOpen) {
	at := path{f.Local.Addr(), f.Remote.Addr()}
	s, known := c.byPath[at]
	switch {
	case o.timedOut:
		s.paused = now.Add(fastOpenPause)
	case o.granted.Has():
		s.cookie = o.granted
	case o.text > 0 && !o.taken && !o.tooBig: // a cookie that is good no more, and no other
		s.cookie = segment.Cookie{}
	}
	if o.mss > 0 {
		s.mss = o.mss
	}
	if !known {
		if s.paused.IsZero() && !s.cookie.Has() {
			return
		}
		if c.byPath == nil {
			c.byPath = make(map[path]server)
		}
		if len(c.byPath) >= c.limit {
			delete(c.byPath, c.queue.Pop())
		}
		c.queue.Push(at)
	}
	c.byPath[at] = s
}

// addFastOpen puts the option on our first SYN and, with a cookie, as much
// text as the server takes in one segment beside all options (section 4.1.3:
// by the MSS of the last time, or else that of MUST-15).
func (t *TCB) addFastOpen(s *segment.Segment) {
	o := t.fastOpen
	s.Opts.FastOpen = o.offer
	if !o.offer.Has() {
		return
	}
	mss := defaultMSS
	if o.mss > 0 {
		mss = o.mss
	}
	var space [segment.MaxHeaderLen]byte
	options := len(s.Opts.Append(space[:0], true))
	s.Len = max(0, min(t.sendq.len, min(mss, t.path.mtu-headersLen)-options-t.route.Len()))
}

// fastOpenSent notes that our SYN s is on its way.
func (t *TCB) fastOpenSent(s *segment.Segment) {
	switch o := t.fastOpen; {
	case s.Opts.FastOpen.Present:
		if o.text = s.Len; s.Len > 0 {
			t.stats.FastOpenSent.Add(1)
		}
	case !o.timedOut && !o.tooBig:
		o.timedOut = true
		t.stats.FastOpenTimeouts.Add(1)
	}
}

// fastOpenAnswered takes the SYN-ACK s, which has established the connection.
// What it does not acknowledge of the text goes again at once; it was refused,
// not lost, and is no sign of congestion. The SYN-ACK itself may carry text
// (section 4.2.2).
func (t *TCB) fastOpenAnswered(now time.Time, s *segment.Segment) {
	o := t.fastOpen
	o.granted = s.Opts.FastOpen
	o.mss = t.snd.peerMSS
	if o.taken = o.text > 0 && t.snd.una.After(t.snd.iss+1); o.taken {
		t.usedFastOpen = true
		t.stats.FastOpenAcked.Add(1)
	}
	if !t.flightEmpty() {
		losses := t.board.losses
		t.board.markAllLost()
		t.board.losses = losses // it was refused, not lost
		t.mustResend = true
	}
	t.noteFIN(s)
	t.processText(now, s)
	t.checkFIN(s)
}

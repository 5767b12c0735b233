package tcp

import (
	"encoding/binary"
	"net"
	"time"

	"github.com/seed-012105e5/gonet/internal/prf"
	"github.com/seed-012105e5/gonet/internal/ring"
)

// The server's side of Fast Open (RFC 7413 section 4.2).

// cookieLife is how long the secret of cookies lasts; a cookie that it has
// made is taken for as long again (RFC 7413 section 4.1.2).
const cookieLife = time.Hour

// A cookieMaker makes and checks the cookies of one stack.
type cookieMaker struct {
	random func() uint64
	keys   [2]prf.Key // the present one, and the one before
	since  time.Time  // when the present one was made; zero before the first
}

// rotate replaces a secret that is too old.
func (m *cookieMaker) rotate(now time.Time) {
	age := now.Sub(m.since)
	if age < cookieLife {
		return
	}
	m.keys[1] = m.keys[0]
	if age >= 2*cookieLife { // nobody has asked for so long, or ever
		m.keys[1] = prf.NewKey(m.random)
	}
	m.keys[0] = prf.NewKey(m.random)
	m.since = now
}

// cookie is what key makes of the client's address (section 4.1.2), and of
// ours.
func (m *cookieMaker) cookie(key int, f flow) cookie {
	f.local.port, f.remote.port = 0, 0
	c := cookie{present: true, len: 8}
	binary.BigEndian.PutUint64(c.value[:], m.keys[key].Flow(f.local.addrPort(), f.remote.addrPort()))
	return c
}

// give is the cookie for a client that asks.
func (m *cookieMaker) give(now time.Time, f flow) cookie {
	m.rotate(now)
	return m.cookie(0, f)
}

// check says whether c is ours, and whether the client needs a new one.
func (m *cookieMaker) check(now time.Time, f flow, c cookie) (ok, outdated bool) {
	m.rotate(now)
	if c == m.cookie(0, f) {
		return true, false
	}
	outdated = c == m.cookie(1, f)
	return outdated, true
}

// early makes t, which is in CLOSED, the connection of a SYN with a good cookie:
// in SYN-RECEIVED, with the text of s for its user. It returns the SYN-ACK that
// acknowledges it (section 4.2.2). It takes s.text.
func (h *halfOpen) early(now time.Time, t *tcb, s *segment) segment {
	h.connection(now, t)
	t.fastOpen = &fastOpen{passive: true}
	t.lastHeard = now
	t.submitted(now)          // our SYN
	t.snd.wnd = int(s.window) // of a SYN: not scaled
	t.snd.maxWnd = t.snd.wnd
	if over := s.len - t.rcv.edge.sub(t.rcv.nxt); over > 0 {
		s.text.Trim(s.len - over)
	}
	if s.text != nil {
		t.usedFastOpen = s.text.Len() > 0
		t.takeText(t.rcv.nxt, s.text, s.train)
		s.text = nil
	}
	reply := h.synACK(now, t.cfg, t.path.link)
	reply.ack = t.rcv.nxt
	reply.window = uint16(min(t.free(), 0xffff))
	t.acknowledged(&reply)
	t.rtoAt = now.Add(t.rtt.rto())
	return reply
}

// resetSlotLife is how long a place stays taken whose connection was reset: as
// long, about, as a SYN-ACK without an answer would have kept it. Else whoever
// sends SYNs from addresses of others, who answer by resets, never runs into
// the bound (section 5.1).
const resetSlotLife = time.Minute

// A fastOpens counts the connections accepted in SYN-RECEIVED, of which each
// listener allows only so many (section 4.2, PendingFastOpenRequests).
type fastOpens struct {
	cookies cookieMaker
	pending map[flow]*Listener
	resets  ring.Queue[resetSlot] // in the order of until
}

// A resetSlot is a place of a listener that is free again at until.
type resetSlot struct {
	listener *Listener
	until    time.Time
}

// room says whether l may accept one more.
func (o *fastOpens) room(now time.Time, l *Listener) bool {
	for o.resets.Len() > 0 && due(o.resets.At(0).until, now) {
		o.resets.Pop().listener.fastOpenPending--
	}
	return l.fastOpenPending < l.fastOpenLimit
}

func (o *fastOpens) begin(f flow, l *Listener) {
	if o.pending == nil {
		o.pending = make(map[flow]*Listener)
	}
	o.pending[f] = l
	l.fastOpenPending++
}

// end gives the place back that f has, now or, after a reset, later.
func (o *fastOpens) end(now time.Time, f flow, reset bool) {
	l, ok := o.pending[f]
	if !ok {
		return
	}
	delete(o.pending, f)
	if reset {
		o.resets.Push(resetSlot{l, now.Add(resetSlotLife)})
	} else {
		l.fastOpenPending--
	}
}

// fastOpenArrives takes the SYN s if it has a good cookie and there is room.
// The connection is then accepted at once, and s.text its first text.
func (d *door) fastOpenArrives(now time.Time, f flow, l *Listener, s *segment, old *timeWait) bool {
	if l.fastOpenLimit <= 0 || !s.opts.fastOpen.has() {
		return false
	}
	ok, outdated := d.fastOpens.cookies.check(now, f, s.opts.fastOpen)
	switch {
	case !ok:
		d.stats.FastOpenRefused.Add(1)
		return false
	case !d.fastOpens.room(now, l):
		d.stats.FastOpenFull.Add(1)
		return false
	}
	h := newHalfOpen(now, s, d.initialSeq(now, f, old), d.secrets.timestampOffset(f), &d.cfg)
	t := d.spares.newTCB(&d.cfg, d.stats, f, h.iss, d.mtu(f))
	t.adopt(l.opts)
	reply := h.early(now, t, s)
	d.recall(now, t)
	if outdated {
		reply.opts.fastOpen = d.giveCookie(now, f)
	}
	d.stats.FastOpenAccepted.Add(1)
	d.stats.PassiveOpens.Add(1)
	d.fastOpens.begin(f, l)
	d.sendBy(h.route, &f, &reply)
	d.give(l, t)
	return true
}

func (d *door) giveCookie(now time.Time, f flow) cookie {
	d.stats.FastOpenCookies.Add(1)
	return d.fastOpens.cookies.give(now, f)
}

// SetFastOpen says how many connections may be accepted by the SYN alone and
// wait for the rest of the handshake; 0, the default, switches Fast Open off
// for the listener, as listen(2) leaves it without TCP_FASTOPEN (RFC 7413
// section 4.2).
//
// Such a connection saves its client a round trip. But its first text may
// come twice, on two connections, when the network has doubled the SYN; so
// this is for services whose requests can bear that (section 2.1).
func (l *Listener) SetFastOpen(pending int) error {
	if !l.calls.ask(func(_ time.Time, d *demux) { l.fastOpenLimit = pending }) || isClosed(l.closed) {
		return l.opError("set", net.ErrClosed)
	}
	return nil
}

package machine

import (
	"encoding/binary"
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// The server's side of Fast Open (RFC 7413 section 4.2).

// cookieLife is the period for which a cookie is given; it is taken in the next
// one too (RFC 7413 section 4.1.2). Periods are of the clock, so that their
// beginning tells nothing of who else has asked for cookies.
const cookieLife = time.Hour

// fastOpenPeriod is the number of the period in which now lies.
func fastOpenPeriod(now time.Time) uint32 { return uint32(now.Unix() / int64(cookieLife/time.Second)) }

// fastOpenCookie is a keyed hash of the client's address (section 4.1.2), of
// ours, and of the period.
func (k *secrets) fastOpenCookie(f ip.Flow, period uint32) segment.Cookie {
	f.Local.Port, f.Remote.Port = 0, 0
	c := segment.Cookie{Present: true, Len: 8}
	binary.BigEndian.PutUint64(c.Value[:], k.fastOpen.FlowWith(f.Local.AddrPort(), f.Remote.AddrPort(), period, 0))
	return c
}

// checkFastOpenCookie says whether c is ours, and whether the client needs a new one.
func (k *secrets) checkFastOpenCookie(now time.Time, f ip.Flow, c segment.Cookie) (ok, outdated bool) {
	period := fastOpenPeriod(now)
	if c == k.fastOpenCookie(f, period) {
		return true, false
	}
	outdated = c == k.fastOpenCookie(f, period-1)
	return outdated, true
}

// early makes t, which is in CLOSED, the connection of a SYN with a good cookie:
// in SYN-RECEIVED, with the text of s for its user. It returns the SYN-ACK that
// acknowledges it (section 4.2.2). It takes s.text.
func (h *halfOpen) early(now time.Time, t *TCB, s *segment.Segment) segment.Segment {
	h.connection(now, t)
	t.fastOpen = &FastOpen{passive: true}
	t.lastHeard = now
	t.submitted(now)          // our SYN
	t.snd.wnd = int(s.Window) // of a SYN: not scaled
	t.snd.maxWnd = t.snd.wnd
	if over := s.Len - t.rcv.edge.Sub(t.rcv.nxt); over > 0 {
		s.Text.Trim(s.Len - over)
	}
	if s.Text != nil {
		t.usedFastOpen = s.Text.Len() > 0
		t.takeText(t.rcv.nxt, s.Text, s.Train)
		s.Text = nil
	}
	reply := h.synACK(now, t.cfg, t.path.link)
	reply.Ack = t.rcv.nxt
	reply.Window = uint16(min(t.free(), 0xffff))
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
	pending map[ip.Flow]*Listener
	resets  ring.Queue[resetSlot] // in the order of until
}

// A resetSlot is a place of a listener that is free again at until.
type resetSlot struct {
	listener *Listener
	until    time.Time
}

// room says whether l may accept one more.
func (o *fastOpens) room(now time.Time, l *Listener) bool {
	for o.resets.Len() > 0 && Due(o.resets.At(0).until, now) {
		o.resets.Pop().listener.fastOpenPending--
	}
	return l.fastOpenPending < l.FastOpenLimit
}

func (o *fastOpens) begin(f ip.Flow, l *Listener) {
	if o.pending == nil {
		o.pending = make(map[ip.Flow]*Listener)
	}
	o.pending[f] = l
	l.fastOpenPending++
}

// end gives the place back that f has, now or, after a reset, later.
func (o *fastOpens) end(now time.Time, f ip.Flow, reset bool) {
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
func (d *Tables) fastOpenArrives(now time.Time, f ip.Flow, l *Listener, s *segment.Segment, old *timeWait) bool {
	if l.FastOpenLimit <= 0 || !s.Opts.FastOpen.Has() {
		return false
	}
	ok, outdated := d.secrets.checkFastOpenCookie(now, f, s.Opts.FastOpen)
	switch {
	case !ok:
		d.stats.FastOpenRefused.Add(1)
		return false
	case !d.fastOpens.room(now, l):
		d.stats.FastOpenFull.Add(1)
		return false
	}
	h := newHalfOpen(now, s, d.initialSeq(now, f, old), d.secrets.timestampOffset(f), &d.cfg)
	t := d.free.newTCB(&d.cfg, d.stats, f, h.iss, d.mtu(f))
	t.adopt(l.Opts)
	reply := h.early(now, t, s)
	d.recall(now, t)
	if outdated {
		reply.Opts.FastOpen = d.giveCookie(now, f)
	}
	d.stats.FastOpenAccepted.Add(1)
	d.stats.PassiveOpens.Add(1)
	d.fastOpens.begin(f, l)
	d.sendBy(h.route, &f, &reply)
	d.give(l, t)
	return true
}

func (d *Tables) giveCookie(now time.Time, f ip.Flow) segment.Cookie {
	d.stats.FastOpenCookies.Add(1)
	return d.secrets.fastOpenCookie(f, fastOpenPeriod(now))
}

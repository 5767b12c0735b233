package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// SYN cookies (RFC 4987 section 3.6): when the table of half-open connections
// is full, a SYN is answered and nothing is remembered of it. What the
// acknowledgement of a SYN-ACK must know stands in the SYN-ACK:
//
//	initial sequence number   3 bits: the peer's MSS, as an index; 29 bits of a
//	                          keyed hash of that, the flow, the peer's initial
//	                          sequence number and the time in periods of 64
//	                          seconds
//	low bits of the timestamp 4 bits: the peer's window shift, or none;
//	                          1 bit: SACK permitted; 1 bit: ECN
//
// The timestamp comes back as TSecr. A peer that sends no timestamps does
// without these options.

// cookiePeriod is the period of the time in a SYN cookie. One is good in its
// own period and the next: from 64 to 128 seconds.
const cookiePeriod = 64 * time.Second

// cookieMSS are the sizes that a SYN cookie can tell; the largest that is not
// above the peer's is taken.
var cookieMSS = [8]uint16{64, 536, 1220, 1360, 1440, 1452, 1460, 8960}

// The bits of a timestamp that tell options.
const (
	cookieScale   = 0xf // none when all are set
	cookieSACK    = 1 << 4
	cookieECN     = 1 << 5
	cookieOptions = 1<<6 - 1
)

// synCookie is the initial sequence number that answers the SYN whose sequence
// number is irs, with the index of an MSS, in a period.
func (k *secrets) synCookie(f *ip.Flow, irs segment.Seq, period int64, mss segment.Seq) segment.Seq {
	hash := k.syn.FlowWith(f.Local.AddrPort(), f.Remote.AddrPort(), uint32(irs), uint32(period)<<3|uint32(mss))
	return segment.Seq(hash)&^7 | mss
}

// cookiePeriodOf is the number of the period in which now lies.
func cookiePeriodOf(now time.Time) int64 { return now.Unix() / int64(cookiePeriod/time.Second) }

// cookieSYNACK makes h, which nobody will remember, and reply, its SYN-ACK,
// tell everything by themselves. It says whether that is possible: not for a
// peer that takes tiny segments only.
func (k *secrets) cookieSYNACK(now time.Time, f *ip.Flow, h *halfOpen, reply *segment.Segment) bool {
	mss := h.mss
	if mss == 0 {
		mss = defaultMSS
	}
	i := len(cookieMSS) - 1
	for i >= 0 && cookieMSS[i] > mss {
		i--
	}
	if i < 0 {
		return false
	}
	reply.Seq = k.synCookie(f, h.irs, cookiePeriodOf(now), segment.Seq(i))
	if !h.hasTimestamps {
		reply.Opts.HasScale, reply.Opts.SackPermitted = false, false
		reply.Flags &^= segment.ECE
		return true
	}
	bits := uint32(cookieScale)
	if h.hasScale {
		bits = uint32(h.scale)
	}
	if h.sackPermitted {
		bits |= cookieSACK
	}
	if h.ecn {
		bits |= cookieECN
	}
	val := reply.Opts.TSVal&^cookieOptions | bits
	if int32(val-reply.Opts.TSVal) > 0 { // the clock must not seem to run backwards later
		val -= cookieOptions + 1
	}
	reply.Opts.TSVal = val
	return true
}

// cookieArrives makes the half-open connection again that s, the
// acknowledgement of a SYN-ACK, tells of; false when s is none.
func (k *secrets) cookieArrives(now time.Time, f *ip.Flow, s *segment.Segment, cfg *Config) (h halfOpen, ok bool) {
	irs, iss := s.Seq-1, s.Ack-1
	period := cookiePeriodOf(now)
	if iss != k.synCookie(f, irs, period, iss&7) && iss != k.synCookie(f, irs, period-1, iss&7) {
		return h, false
	}
	h = halfOpen{
		iss: iss, irs: irs, since: now, fromCookie: true, mss: cookieMSS[iss&7],
		tsRecent: s.Opts.TSVal, tsOffset: k.timestampOffset(*f),
		hasTimestamps: s.Opts.HasTimestamps && !cfg.NoTimestamps,
	}
	if h.hasTimestamps {
		bits := s.Opts.TSEcr & cookieOptions
		h.scale = uint8(bits & cookieScale)
		h.hasScale = h.scale <= segment.MaxScale && !cfg.NoWindowScale
		h.sackPermitted = bits&cookieSACK != 0 && !cfg.NoSACK
		h.ecn = bits&cookieECN != 0 && cfg.ECN != ECNOff
		s.Opts.TSEcr = 0 // its low bits are no time: no round trip is to be measured
	}
	return h, true
}

// cookieLifetime is how long after the last SYN cookie its answer can come.
const cookieLifetime = 2 * cookiePeriod

// sendCookie answers the SYN of h, f by a SYN-ACK of which nothing is
// remembered.
func (d *Tables) sendCookie(now time.Time, f ip.Flow, l *Listener, h *halfOpen) {
	reply := d.synACK(now, f, h)
	if !d.secrets.cookieSYNACK(now, &f, h, &reply) {
		d.stats.DropUnexpected.Add(1)
		return
	}
	d.stats.SynCookiesSent.Add(1)
	l.cookiesUntil = now.Add(cookieLifetime)
	d.sendBy(h.route, &f, &reply)
}

// ackArrives takes an acknowledgement that comes to a listener: the answer to
// a SYN cookie, or nobody's. It is worth looking only while answers can come:
// at other times a guess costs us as little as it costs others. It says
// whether it has taken s.text.
func (d *Tables) ackArrives(now time.Time, f ip.Flow, l *Listener, s *segment.Segment) bool {
	if s.Has(segment.SYN) || !l.cookiesUntil.After(now) {
		d.closedArrives(&f, s)
		return false
	}
	h, ok := d.secrets.cookieArrives(now, &f, s, &d.cfg)
	switch {
	case !ok:
		d.stats.SynCookiesBad.Add(1)
		d.closedArrives(&f, s)
		return false
	case !d.host.Room(l):
		d.stats.DropAcceptFull.Add(1)
		return false
	}
	d.stats.SynCookiesAccepted.Add(1)
	d.complete(now, f, &h, l, *s)
	return true
}

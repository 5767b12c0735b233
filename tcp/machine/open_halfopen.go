package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/internal/red"
	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A halfOpen is a connection in SYN-RECEIVED that came from LISTEN: what must
// be remembered of the SYN until the handshake is complete. It is small and
// has no goroutine, so that a flood of SYNs costs little (RFC 4987 section
// 3.5); what finds the table full costs nothing (open_syncookie.go).
type halfOpen struct {
	iss, irs      segment.Seq
	tsRecent      uint32
	tsOffset      uint32
	mss           uint16 // of the peer; 0 when it did not say
	scale         uint8  // of the peer
	hasScale      bool
	sackPermitted bool
	hasTimestamps bool
	ecn           bool // the peer has asked, and we agree
	asksCookie    bool // for Fast Open
	fromCookie    bool // a SYN cookie: when the SYN-ACK went is not known
	route         *segment.SourceRoute
	tries         uint8 // how often the SYN-ACK has been sent again
	challenges    challengeLimit
	since         time.Time
}

// synTries is how often a SYN-ACK is sent again, after 1, 2, 4… seconds, until
// the connection is forgotten: after 255 seconds, since R2 for a SYN is 3
// minutes at least (MUST-23).
const synTries = 7

// halfOpens is the table of all half-open connections, bounded.
type halfOpens struct {
	byFlow map[ip.Flow]halfOpen
	limit  int
	random func() uint64
	// queues[n] holds those whose SYN-ACK has been sent again n times, in the
	// order in which their turn comes. A place is void once its flow has left.
	queues [synTries + 1]ring.Queue[waiting]
}

// newHalfOpen takes the SYN s; cfg says which options we take.
func newHalfOpen(now time.Time, s *segment.Segment, iss segment.Seq, tsOffset uint32, cfg *Config) halfOpen {
	o := &s.Opts
	return halfOpen{
		iss: iss, irs: s.Seq, since: now, route: s.Route, tsRecent: o.TSVal, tsOffset: tsOffset,
		mss: o.MSS, scale: o.Scale,
		hasScale:      o.HasScale && !cfg.NoWindowScale,
		sackPermitted: o.SackPermitted && !cfg.NoSACK,
		hasTimestamps: o.HasTimestamps && !cfg.NoTimestamps,
		ecn:           s.AsksECN() && cfg.ECN != ECNOff,
	}
}

// givesCookie says whether the SYN-ACK has a cookie for Fast Open. When it has
// to go again it has none: something on the path may drop what has the option
// (RFC 7413 section 4.2.2).
func (h *halfOpen) givesCookie() bool { return h.asksCookie && h.tries == 0 }

// synACK is <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK> of RFC 9293 section 3.10.7.2.
func (h *halfOpen) synACK(now time.Time, cfg *Config, mtu int) segment.Segment {
	f := segment.SYN | segment.ACK
	if h.ecn {
		f |= segment.ECE
	}
	s := segment.Segment{
		Seq: h.iss, Ack: h.irs + 1, Flags: f,
		Window: uint16(h.window(cfg)),
		Opts:   h.timestamps(now),
	}
	s.Opts.MSS = cfg.offeredMSS(mtu)
	s.Opts.HasScale, s.Opts.Scale = h.hasScale, cfg.receiveScale()
	s.Opts.SackPermitted = h.sackPermitted
	return s
}

// timestamps is the options of any segment of h: its timestamp, if both ends
// have them (RFC 7323 section 3.2 wants it on resets too).
func (h *halfOpen) timestamps(now time.Time) segment.Options {
	if !h.hasTimestamps {
		return segment.Options{}
	}
	return segment.Options{HasTimestamps: true, TSVal: timestamp(now, h.tsOffset), TSEcr: h.tsRecent}
}

// window is that of the SYN-ACK, which is not scaled.
func (h *halfOpen) window(cfg *Config) int { return min(cfg.receiveLimit(), 0xffff) }

// acceptable is the test of RFC 9293 table 6, as tcb.acceptable.
func (h *halfOpen) acceptable(s *segment.Segment, cfg *Config) bool {
	wnd := h.window(cfg)
	return s.Seq.Within(h.irs+1, wnd) || s.Span() > 0 && (s.End()-1).Within(h.irs+1, wnd)
}

// outdated says that the timestamp of s is before that of the peer's SYN (RFC
// 7323 section 5.3, R1).
func (h *halfOpen) outdated(s *segment.Segment) bool {
	return h.hasTimestamps && s.Opts.HasTimestamps && !s.Has(segment.RST) && int32(s.Opts.TSVal-h.tsRecent) < 0
}

// connection makes t, which is in CLOSED with the ISS of h, the whole TCB in
// SYN-RECEIVED, for the segment that completes the handshake to arrive at.
func (h *halfOpen) connection(now time.Time, t *TCB) {
	t.state, t.passive = SynReceived, true
	t.rcv.irs, t.rcv.nxt = h.irs, h.irs+1
	t.tsOffset, t.route = h.tsOffset, h.route
	t.synResent = h.tries > 0
	t.ecn.sends, t.ecn.echoes = h.ecn, h.ecn
	t.negotiate(h.since, &segment.Segment{Opts: segment.Options{
		MSS: h.mss, HasScale: h.hasScale, Scale: h.scale,
		SackPermitted: h.sackPermitted, HasTimestamps: h.hasTimestamps, TSVal: h.tsRecent,
	}})
	t.snd.nxt = h.iss + 1
	t.board.push(h.iss, h.iss+1, h.since, sending{})
	if h.fromCookie {
		t.board.resend(h.iss, h.iss+1, now, sending{}) // no round trip is to be measured
	}
	if h.tries > 0 {
		t.board.markAllLost()
		t.board.resend(h.iss, h.iss+1, now, sending{}) // Karn: its acknowledgement is ambiguous
	}
}

// repeated takes a SYN that came again. The answer echoes its timestamp, not
// the first one's, or the peer would take the time between them for a round
// trip (RFC 7323 section 4.3 (2)). When the peer does not ask for ECN any more,
// it has had no answer while it did, and it is not used (RFC 3168 section
// 6.1.1.1).
func (q *halfOpens) repeated(f ip.Flow, h *halfOpen, s *segment.Segment) {
	h.ecn = h.ecn && s.AsksECN()
	if s.Opts.HasTimestamps && int32(s.Opts.TSVal-h.tsRecent) > 0 {
		h.tsRecent = s.Opts.TSVal
	}
	q.byFlow[f] = *h
}

// full says whether a SYN is to be answered by a cookie (open_syncookie.go) rather
// than be remembered. Nobody is forgotten for somebody else: an honest peer
// that is in the table has its SYN-ACK sent again and may answer late, and one
// that is not has its cookie.
//
// Near the limit chance decides: the cookie of a peer, which it knows by its
// SYN-ACK, must not tell whether a SYN that it has forged in the name of another
// took the last place, and so whether that one has a connection already.
func (q *halfOpens) full() bool { return red.Full(len(q.byFlow), q.limit, q.random) }

// overfull says whether not even that is remembered which takes the place of a
// connection in TIME-WAIT, and which no cookie can be given for.
func (q *halfOpens) overfull() bool { return len(q.byFlow) >= 2*q.limit }

// add remembers h. The caller has asked whether the table is full, or overfull.
func (q *halfOpens) add(f ip.Flow, h halfOpen) {
	if q.byFlow == nil {
		q.byFlow = make(map[ip.Flow]halfOpen)
	}
	q.byFlow[f] = h
	q.queues[0].Push(waiting{f, h.since.Add(initialRTO)})
	if q.queues[0].Len() > 2*max(q.limit, len(q.byFlow)) {
		q.compact()
	}
}

// compact drops the void places of the first queue, of which connections that
// open quickly leave many.
func (q *halfOpens) compact() {
	for range q.queues[0].Len() {
		if w := q.queues[0].Pop(); !q.isVoid(w, 0) {
			q.queues[0].Push(w)
		}
	}
}

// isVoid says whether the flow of place w of queue n has left it.
func (q *halfOpens) isVoid(w waiting, n int) bool {
	h, ok := q.byFlow[w.flow]
	return !ok || int(h.tries) != n || !h.turn().Equal(w.until)
}

// forget removes the flow of place w of queue n, and says whether it was there.
func (q *halfOpens) forget(w waiting, n int) bool {
	if q.isVoid(w, n) {
		return false
	}
	delete(q.byFlow, w.flow)
	return true
}

// turn is when the SYN-ACK of h is sent again.
func (h *halfOpen) turn() time.Time { return h.since.Add(initialRTO<<(h.tries+1) - initialRTO) }

// deadline is when expire has something to do; zero for never.
func (q *halfOpens) deadline() (d time.Time) {
	for n := range q.queues {
		if q.queues[n].Len() > 0 {
			d = Earliest(d, q.queues[n].At(0).until)
		}
	}
	return d
}

// expire sends the SYN-ACKs whose turn has come through resend, and forgets
// those that have had all of theirs.
func (q *halfOpens) expire(now time.Time, resend func(ip.Flow, *halfOpen)) {
	for n := range q.queues {
		for q.queues[n].Len() > 0 && Due(q.queues[n].At(0).until, now) {
			w := q.queues[n].Pop()
			last, ok := q.byFlow[w.flow]
			if !q.forget(w, n) || !ok || n == synTries {
				continue
			}
			h := last // only here, since resend has it on the heap
			h.tries++
			resend(w.flow, &h)
			q.byFlow[w.flow] = h
			q.queues[n+1].Push(waiting{w.flow, h.turn()})
		}
	}
}

package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Unmatched is SEGMENT ARRIVES for a packet that matches no connection.
func (d *Tables) Unmatched(f ip.Flow, b *packet.Buffer) {
	var s segment.Segment
	if err := segment.Parse(b, &s); err != nil {
		d.stats.drop(err)
		b.Release()
		return
	}
	if b.Group || !d.cfg.Table.Load().IsLocal(f.Local.Addr()) || d.cfg.Table.Load().IsBroadcast(f.Remote.Addr()) || f.Remote.Addr().IsMulticast() {
		d.stats.DropBadAddress.Add(1) // MUST-57, MUST-63
		b.Release()
		return
	}
	now := b.Arrived
	reopens := false // s may take the place of a connection in TIME-WAIT
	if _, ok := d.timeWaits.byFlow[f]; ok {
		reply, answer, reopen := d.timeWaits.segmentArrives(now, f, &s, &d.cfg, d.stats)
		if answer {
			d.send(&f, &reply)
		}
		if !reopen {
			b.Release()
			return
		}
		reopens = true
	}
	if h, ok := d.halfOpens.byFlow[f]; ok {
		d.halfOpenArrives(now, f, &h, s)
		return
	}
	if l := d.listener(f); l != nil {
		d.listenArrives(now, f, l, s, reopens)
		return
	}
	d.closedArrives(&f, &s)
	b.Release()
}

// closedArrives is SEGMENT ARRIVES in CLOSED (RFC 9293 section 3.10.7.1): what
// nobody wants is reset.
func (d *Tables) closedArrives(f *ip.Flow, s *segment.Segment) {
	d.stats.DropNoConnection.Add(1)
	if s.Has(segment.RST) {
		return
	}
	reply := segment.Segment{Flags: segment.RST | segment.ACK, Ack: s.End()}
	if s.Has(segment.ACK) {
		reply = segment.Segment{Flags: segment.RST, Seq: s.Ack}
	}
	d.send(f, &reply)
}

// listenArrives is SEGMENT ARRIVES in LISTEN (section 3.10.7.2). It takes
// s.text. Reopens says that s is a SYN for a flow in TIME-WAIT; that connection
// then ends.
func (d *Tables) listenArrives(now time.Time, f ip.Flow, l *Listener, s segment.Segment, reopens bool) {
	taken := false
	switch {
	case s.Has(segment.RST):
		d.stats.DropUnexpected.Add(1)
	case s.Has(segment.ACK):
		taken = d.ackArrives(now, f, l, &s)
	case !s.Has(segment.SYN):
		d.stats.DropUnexpected.Add(1)
	case !d.host.Room(l):
		// Nobody accepts: no reason to begin a handshake. The peer tries again.
		d.stats.DropAcceptFull.Add(1)
	case reopens && d.halfOpens.overfull():
		d.stats.DropSynFull.Add(1) // the peer tries again
	default:
		var old *timeWait
		if reopens {
			old = d.timeWaits.reuse(f, d.stats)
		}
		if taken = d.fastOpenArrives(now, f, l, &s, old); !taken {
			d.synArrives(now, f, l, &s, old)
		}
	}
	if !taken {
		s.Text.Release()
	}
}

// synArrives answers a SYN, and remembers it if there is room.
func (d *Tables) synArrives(now time.Time, f ip.Flow, l *Listener, s *segment.Segment, old *timeWait) {
	h := newHalfOpen(now, s, 0, d.secrets.timestampOffset(f), &d.cfg)
	if d.halfOpens.full() && old == nil { // a cookie would not lie beyond the numbers of old
		d.sendCookie(now, f, l, &h)
		return
	}
	h.iss = d.initialSeq(now, f, old)
	h.asksCookie = l.FastOpenLimit > 0 && s.Opts.FastOpen.Present
	d.halfOpens.add(f, h)
	reply := d.synACK(now, f, &h)
	d.sendBy(h.route, &f, &reply)
}

// synACK is the SYN-ACK of h, with a cookie for Fast Open where the peer has
// asked for one or has an old one (RFC 7413 section 4.1.2).
func (d *Tables) synACK(now time.Time, f ip.Flow, h *halfOpen) segment.Segment {
	s := h.synACK(now, &d.cfg, d.mtu(f))
	if h.givesCookie() {
		s.Opts.FastOpen = d.giveCookie(now, f)
	}
	return s
}

// halfOpenArrives is SEGMENT ARRIVES in SYN-RECEIVED of a connection that came
// from LISTEN. It takes s.text.
func (d *Tables) halfOpenArrives(now time.Time, f ip.Flow, h *halfOpen, s segment.Segment) {
	switch {
	case s.Has(segment.SYN) && !s.Has(segment.ACK) && !s.Has(segment.RST) && s.Seq == h.irs && !h.outdated(&s): // our SYN-ACK was lost
		d.halfOpens.repeated(f, h, &s)
		reply := d.synACK(now, f, h)
		d.sendBy(h.route, &f, &reply)
	case s.Has(segment.RST) && s.Seq == h.irs+1:
		delete(d.halfOpens.byFlow, f) // back to LISTEN
		d.stats.InResets.Add(1)
	case s.Has(segment.RST) && !s.Seq.Within(h.irs+1, h.window(&d.cfg)): // RFC 5961 section 3.2
		d.stats.DropOutOfWindow.Add(1)
	case h.outdated(&s):
		d.stats.DropPAWS.Add(1)
		d.challengeHalfOpen(now, &f, h)
	case s.Has(segment.RST), s.Has(segment.SYN), !h.acceptable(&s, &d.cfg): // RFC 5961 sections 3.2 and 4.2, RFC 9293 section 3.10.7.4
		d.challengeHalfOpen(now, &f, h)
	case h.hasTimestamps && !s.Opts.HasTimestamps: // RFC 7323 section 3.2
		d.stats.DropPAWS.Add(1)
	case !s.Has(segment.ACK):
		d.stats.DropUnexpected.Add(1)
	case s.Ack != h.iss+1:
		d.stats.DropBadACK.Add(1)
		reply := segment.Segment{Seq: s.Ack, Flags: segment.RST}
		reply.Opts = h.timestamps(now)
		reply.Opts.TSEcr = 0 // without ACK (RFC 7323 section 3.2)
		d.send(&f, &reply)
	default:
		l := d.listener(f)
		switch {
		case l == nil: // it was closed since: the connection is too
			delete(d.halfOpens.byFlow, f)
			d.closedArrives(&f, &s)
		case !d.host.Room(l):
			d.stats.DropAcceptFull.Add(1)
		default:
			d.complete(now, f, h, l, s)
			return
		}
	}
	s.Text.Release()
}

// challengeHalfOpen answers a segment that is not acceptable, or that no honest
// peer sends, within a limit of its own.
func (d *Tables) challengeHalfOpen(now time.Time, f *ip.Flow, h *halfOpen) {
	allowed := h.challenges.allow(now)
	d.halfOpens.byFlow[*f] = *h
	if !allowed {
		d.stats.DropOutOfWindow.Add(1)
		return
	}
	d.stats.ChallengeACKs.Add(1)
	reply := h.synACK(now, &d.cfg, d.mtu(*f))
	reply.Flags, reply.Seq = segment.ACK, h.iss+1
	d.sendBy(h.route, f, &reply)
}

// complete lets s arrive at the whole connection. If that establishes it, the
// host gets it.
func (d *Tables) complete(now time.Time, f ip.Flow, h *halfOpen, l *Listener, s segment.Segment) {
	t := d.free.newTCB(&d.cfg, d.stats, f, h.iss, d.mtu(f))
	t.adopt(l.Opts)
	h.connection(now, t)
	d.recall(now, t)
	t.segmentArrives(now, &s)
	if !t.state.synchronized() {
		var reply segment.Segment
		if t.output(now, &reply) {
			d.send(&f, &reply)
		}
		t.release()
		d.free.putTCB(t)
		return
	}
	delete(d.halfOpens.byFlow, f)
	d.stats.PassiveOpens.Add(1)
	d.give(l, t)
}

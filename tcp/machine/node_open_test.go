package machine

import (
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// How a node opens connections: what open_passive.go, open_syncookie.go and
// open_fastopen_server.go do for Tables.

func (n *node) closedArrives(f ip.Flow, s *segment.Segment) {
	if s.Has(segment.RST) {
		return
	}
	reply := segment.Segment{Flags: segment.RST | segment.ACK, Ack: s.End()}
	if s.Has(segment.ACK) {
		reply = segment.Segment{Flags: segment.RST, Seq: s.Ack}
	}
	n.transmit(f, &reply, nil)
}

func (n *node) listenArrives(f ip.Flow, s segment.Segment, reopens bool) {
	switch {
	case s.Has(segment.RST):
	case s.Has(segment.ACK):
		if h, ok := n.secrets.cookieArrives(n.now, &f, &s, &n.cfg); ok {
			h.tsOffset = tsOffset()
			n.complete(f, &h, s)
			return
		}
		n.closedArrives(f, &s)
	case s.Has(segment.SYN):
		if reopens {
			n.timeWaits.reuse(f, &n.stats)
		}
		if !n.fastOpenArrives(f, &s) {
			n.synArrives(f, &s, reopens)
		}
	}
	release(s.Text)
}

func (n *node) synArrives(f ip.Flow, s *segment.Segment, reopens bool) {
	h := newHalfOpen(n.now, s, n.iss, tsOffset(), &n.cfg)
	h.asksCookie = n.listener.FastOpenLimit > 0 && s.Opts.FastOpen.Present
	reply := n.synACK(f, &h)
	if n.halfOpens.full() && !reopens {
		if !n.secrets.cookieSYNACK(n.now, &f, &h, &reply) {
			return
		}
		n.shift[f] = reply.Seq - n.iss
	} else {
		n.halfOpens.add(f, h)
	}
	n.transmit(f, &reply, nil)
}

func (n *node) fastOpenArrives(f ip.Flow, s *segment.Segment) bool {
	if n.listener.FastOpenLimit <= 0 || !s.Opts.FastOpen.Has() {
		return false
	}
	ok, outdated := n.secrets.checkFastOpenCookie(n.now, f, s.Opts.FastOpen)
	if !ok || !n.fastOpens.room(n.now, &n.listener) {
		return false
	}
	h := newHalfOpen(n.now, s, n.iss, tsOffset(), &n.cfg)
	t := newTCB(&n.cfg, &n.stats, f, h.iss, n.mtu)
	reply := h.early(n.now, t, s)
	if outdated {
		reply.Opts.FastOpen = n.secrets.fastOpenCookie(f, fastOpenPeriod(n.now))
	}
	n.fastOpens.begin(f, &n.listener)
	n.transmit(f, &reply, nil)
	n.serve(f, t)
	return true
}

func (n *node) synACK(f ip.Flow, h *halfOpen) segment.Segment {
	s := h.synACK(n.now, &n.cfg, n.mtu)
	if h.givesCookie() {
		s.Opts.FastOpen = n.secrets.fastOpenCookie(f, fastOpenPeriod(n.now))
	}
	return s
}

func (n *node) halfOpenArrives(f ip.Flow, h *halfOpen, s segment.Segment) {
	switch {
	case s.Has(segment.SYN) && !s.Has(segment.ACK) && s.Seq == h.irs:
		n.halfOpens.repeated(f, h, &s)
		reply := n.synACK(f, h)
		n.transmit(f, &reply, nil)
	case s.Has(segment.RST):
		if s.Seq == h.irs+1 {
			delete(n.halfOpens.byFlow, f)
		}
	default:
		n.complete(f, h, s)
		return
	}
	release(s.Text)
}

func (n *node) complete(f ip.Flow, h *halfOpen, s segment.Segment) {
	t := newTCB(&n.cfg, &n.stats, f, h.iss, n.mtu)
	h.connection(n.now, t)
	t.segmentArrives(n.now, &s)
	if !t.state.synchronized() {
		if reply, ok := output(t, n.now); ok {
			n.transmit(f, &reply, nil)
		}
		t.release()
		return
	}
	delete(n.halfOpens.byFlow, f)
	n.serve(f, t)
}

// serve makes t the connection of the node.
func (n *node) serve(f ip.Flow, t *TCB) {
	if n.t != nil {
		n.t.release()
	}
	n.t, n.flow = t, f
}

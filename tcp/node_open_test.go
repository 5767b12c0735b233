package tcp

import "github.com/seed-012105e5/gonet/ip"

// How a node opens connections: what stranger.go, syncookie.go and
// fastopenserver.go do for the demultiplexer.

func (n *node) closedArrives(f ip.Flow, s *segment) {
	if s.has(RST) {
		return
	}
	reply := segment{flags: RST | ACK, ack: s.end()}
	if s.has(ACK) {
		reply = segment{flags: RST, seq: s.ack}
	}
	n.transmit(f, &reply, nil)
}

func (n *node) listenArrives(f ip.Flow, s segment, reopens bool) {
	switch {
	case s.has(RST):
	case s.has(ACK):
		if h, ok := n.secrets.cookieArrives(n.now, &f, &s, &n.cfg); ok {
			h.tsOffset = tsOffset()
			n.complete(f, &h, s)
			return
		}
		n.closedArrives(f, &s)
	case s.has(SYN):
		if reopens {
			n.timeWaits.reuse(f, &n.stats)
		}
		if !n.fastOpenArrives(f, &s) {
			n.synArrives(f, &s, reopens)
		}
	}
	release(s.text)
}

func (n *node) synArrives(f ip.Flow, s *segment, reopens bool) {
	h := newHalfOpen(n.now, s, n.iss, tsOffset(), &n.cfg)
	h.asksCookie = n.listener.fastOpenLimit > 0 && s.opts.fastOpen.present
	reply := n.synACK(f, &h)
	if n.halfOpens.full() && !reopens {
		if !n.secrets.cookieSYNACK(n.now, &f, &h, &reply) {
			return
		}
		n.shift[f] = reply.seq - n.iss
	} else {
		n.halfOpens.add(f, h)
	}
	n.transmit(f, &reply, nil)
}

func (n *node) fastOpenArrives(f ip.Flow, s *segment) bool {
	if n.listener.fastOpenLimit <= 0 || !s.opts.fastOpen.has() {
		return false
	}
	ok, outdated := n.secrets.checkFastOpenCookie(n.now, f, s.opts.fastOpen)
	if !ok || !n.fastOpens.room(n.now, &n.listener) {
		return false
	}
	h := newHalfOpen(n.now, s, n.iss, tsOffset(), &n.cfg)
	t := newTCB(&n.cfg, &n.stats, f, h.iss, n.mtu)
	reply := h.early(n.now, t, s)
	if outdated {
		reply.opts.fastOpen = n.secrets.fastOpenCookie(f, fastOpenPeriod(n.now))
	}
	n.fastOpens.begin(f, &n.listener)
	n.transmit(f, &reply, nil)
	n.serve(f, t)
	return true
}

func (n *node) synACK(f ip.Flow, h *halfOpen) segment {
	s := h.synACK(n.now, &n.cfg, n.mtu)
	if h.givesCookie() {
		s.opts.fastOpen = n.secrets.fastOpenCookie(f, fastOpenPeriod(n.now))
	}
	return s
}

func (n *node) halfOpenArrives(f ip.Flow, h *halfOpen, s segment) {
	switch {
	case s.has(SYN) && !s.has(ACK) && s.seq == h.irs:
		n.halfOpens.repeated(f, h, &s)
		reply := n.synACK(f, h)
		n.transmit(f, &reply, nil)
	case s.has(RST):
		if s.seq == h.irs+1 {
			delete(n.halfOpens.byFlow, f)
		}
	default:
		n.complete(f, h, s)
		return
	}
	release(s.text)
}

func (n *node) complete(f ip.Flow, h *halfOpen, s segment) {
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
func (n *node) serve(f ip.Flow, t *tcb) {
	if n.t != nil {
		n.t.release()
	}
	n.t, n.flow = t, f
}

package packetdrill

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// The network's side of a run: packets that arrive, and packets that go out.

// flow is the one of a peer; of the passive kind, when nothing is known yet.
func (r *run) flow(n *network) *flow {
	peer := r.underTest()
	if n.peer.is {
		peer = n.peer.value
	}
	for _, f := range r.flows {
		if f.peer == peer {
			return f
		}
	}
	f := r.newFlow(peer, r.cfg.bindPort, peerPort+uint16(peer))
	r.flows = append(r.flows, f)
	return f
}

// underTest is the peer of packets that name none: 1, or in a script for Linux
// the last that there was.
func (r *run) underTest() int {
	if n := len(r.flows); r.cfg.linux && n > 0 {
		return r.flows[n-1].peer
	}
	return 1
}

// do is a segment that arrives.
func (in *inbound) do(r *run, _ *event) error {
	n := in.ip
	if r.cfg.linux && r.listening && in.has(syn) && !in.has(ack) && len(r.flows) > 0 {
		n.peer = said{r.freePeer(), true} // a script for Linux has one connection after the other
	}
	r.listening = false
	f := r.flow(&n)
	g := f.arriving(in.segment)
	if mss := r.cfg.train; mss > 0 && g.len > mss && !g.ip.train.is {
		g.ip.train = said{mss, true}
	}
	if o := find(in.options, optFastOpen); in.has(syn|ack) && o != nil {
		r.hasCookie, r.peerMSS = len(o.data) > 0, f.mss
	}
	text := make([]byte, g.len)
	for i := range text {
		text[i] = peerByte(int(int32(g.textSeq()-f.peers.text)) + i)
	}
	r.current = f
	r.note(r.line(time.Now(), "<", &in.segment))
	r.card.arrive(r.card.frame(&g, f.remote, f.local, text))
	if r.polling() { // it looks now, and not a millisecond later
		return r.settle()
	}
	return nil
}

// do is an ICMP error that arrives.
func (e *icmpError) do(r *run, ev *event) error {
	f := r.flow(&e.ip)
	r.note(seconds(r.now()) + " " + ev.what)
	r.card.arrive(r.card.icmpFrame(e, e.seq+f.ours.isn, f.local, f.remote))
	return nil
}

// longest is how long "*" waits for a packet.
const longest = 24 * time.Hour

// do is a segment that goes out.
func (o *outbound) do(r *run, e *event) error {
	early, late := r.window(e)
	w := r.next(late)
	if err := r.collect(); err != nil {
		return err
	}
	wanted := fmt.Sprintf("%s > %v", seconds(r.base), &o.segment)
	if w == nil {
		return &mismatch{err: errors.New("no packet goes out"), wanted: wanted}
	}
	if r.cfg.linux && !r.cfg.strict {
		r.join(w, o.len)
	}
	got, err := r.recognize(w, o.segment)
	seen := r.line(w.at, ">", &got)
	at := w.at.Sub(r.begin)
	if err == nil {
		err = o.compare(r, &got)
	}
	switch {
	case err != nil:
	case at < early:
		err = fmt.Errorf("the packet goes out %v too early", early-at)
	case at > late:
		err = fmt.Errorf("the packet goes out %v too late", at-late)
	}
	if err != nil {
		return &mismatch{err: err, wanted: wanted, seen: seen}
	}
	r.note(seen)
	return nil
}

// join puts what follows w behind it, until there is as much text as the script
// has in one packet: how segments are joined to trains is no matter of scripts
// for Linux.
func (r *run) join(w *wire, n int) {
	for w.err == nil && w.len < n {
		var next *wire
		select {
		case next = <-r.card.seen:
		default:
			return
		}
		if next.err != nil || next.seq != w.textSeq()+uint32(w.len) || next.local != w.local || next.remote != w.remote {
			w.err = errors.New("it is shorter, and what follows does not continue it")
			return
		}
		w.text = append(w.text, next.text...)
		w.len = len(w.text)
		w.flags |= next.flags
		w.longest = max(w.longest, next.longest)
	}
}

// window is between which times of the script the event e may happen.
func (r *run) window(e *event) (early, late time.Duration) {
	if e.when.anytime {
		return 0, r.now() + longest
	}
	slack := r.tolerance(r.base - r.last)
	return r.base - slack, r.base + e.when.to - e.when.from + slack
}

// recognize finds the flow of a segment that the stack has sent, and returns
// it in the script's numbers.
func (r *run) recognize(w *wire, want segment) (segment, error) {
	if w.err != nil {
		return w.segment, w.err
	}
	var f *flow
	for _, g := range r.flows {
		if g.local == w.local && g.remote == w.remote {
			f = g
		}
	}
	if f == nil {
		if w.remote != r.cfg.connectPort && w.remote != r.dialled || !w.has(syn) || w.has(ack) {
			return w.segment, fmt.Errorf("a packet from port %d to port %d, which belong to no connection", w.local, w.remote)
		}
		f = r.newFlow(r.freePeer(), w.local, w.remote) // an active open
		r.flows = append(r.flows, f)
		r.listening, r.dialling = false, false
	}
	r.current = f
	got := f.departed(w.segment, want)
	if start := int(int32(w.textSeq() - f.ours.text)); !sameText(w.text, start) {
		return got, errors.New("its text is not what the user has written")
	}
	if f.mss > 0 && w.longest > f.mss {
		return got, fmt.Errorf("text and options of %d bytes are more than the MSS of %d", w.longest, f.mss)
	}
	return got, nil
}

func (r *run) freePeer() int {
	peer := 1
	for _, f := range r.flows {
		peer = max(peer, f.peer+1)
	}
	return peer
}

// compare says how a segment differs from what the script wants.
func (o *outbound) compare(r *run, got *segment) error {
	want := o.segment
	if !want.ip.peer.is {
		want.ip.peer = said{r.underTest(), true}
	}
	if r.cfg.linux {
		asLinux(&want, got, r.cfg.tick, r.tolerance(r.base))
	}
	if want.ip.peer != got.ip.peer {
		return fmt.Errorf("the packet goes to peer %d", got.ip.peer.value)
	}
	if difference := want.differs(got); difference != "" {
		return fmt.Errorf("the packet has %s", difference)
	}
	return nil
}

// sameText says whether text is what the user wrote from byte start on.
func sameText(text []byte, start int) bool {
	for i, b := range text {
		if b != ourByte(start+i) {
			return false
		}
	}
	return true
}

// ourByte and peerByte are byte i of what either side writes.
func ourByte(i int) byte  { return byte(i*17 + i>>8*5 + 2) }
func peerByte(i int) byte { return byte(i*31 + i>>8*7 + 1) }

// wrapISN is where our sequence numbers should begin: 16 before the wrap.
const wrapISN = 0xfffffff0

// wrapTime is when the script should begin so that the connection which --isn
// names begins at wrapISN. A stack that lives for this purpose only tells
// what the numbers would be now; from there they follow the clock, which ticks
// every 4 microseconds (RFC 6528 section 3).
func (r *run) wrapTime() (time.Time, error) {
	const tick = 4 * time.Microsecond
	opening, at := r.script.opening(r.cfg.wraps)
	now := time.Now()
	switch {
	case opening == nil && r.cfg.wraps > 1:
		return now, fmt.Errorf("--isn=%d: there are not so many connections", r.cfg.wraps)
	case opening == nil:
		return now, nil
	}
	isn, err := r.probe(opening)
	begin := now.Add(time.Duration(wrapISN-isn)*tick - at)
	if begin.Before(now) {
		begin = begin.Add(1 << 32 * tick)
	}
	return begin, err
}

// opening is the event that opens the nth connection, and when it happens.
func (s *Script) opening(n int) (action, time.Duration) {
	var at time.Duration
	opened := make(map[said]bool)
	for i := range s.events {
		e := &s.events[i]
		if !e.when.relative {
			at = 0
		}
		at += e.when.from
		var g *segment
		switch a := e.do.(type) {
		case *inbound:
			g = &a.segment
		case *outbound:
			g = &a.segment
		case *pause:
			at += a.d
		}
		if g == nil || !g.has(syn) {
			continue
		}
		if opened[g.ip.peer] = true; len(opened) == n {
			return e.do, at
		}
	}
	return nil, 0
}

// probe opens the connection on a stack of its own, behind those which the
// stack has dialled before, and returns our initial sequence number.
func (r *run) probe(opening action) (uint32, error) {
	stack, card, err := newStack(r.cfg)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var w *wire
	if in, ok := opening.(*inbound); ok {
		if _, err := stack.Listen("tcp", fmt.Sprintf(":%d", r.cfg.bindPort)); err != nil {
			cancel()
			return 0, err
		}
		f := (&run{cfg: r.cfg}).flow(&in.ip)
		g := f.arriving(segment{flags: syn})
		card.arrive(card.frame(&g, f.remote, f.local, nil))
		w = <-card.seen
	} else {
		for range r.cfg.wraps {
			go stack.DialContext(ctx, "tcp", netip.AddrPortFrom(r.cfg.remote, r.cfg.connectPort).String())
			w = <-card.seen
		}
	}
	cancel()
	stack.Close()
	for range card.seen {
	}
	return w.seq, w.err
}

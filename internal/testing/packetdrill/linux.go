package packetdrill

import (
	"fmt"
	"slices"
	"time"
)

// Scripts for Linux's TCP compare also what Linux decides and no RFC does.
// Here that is left out of the comparison.

// asLinux makes want and got the same where they may differ: PSH, the order and
// the padding of options, and the values of our timestamps. Those are compared
// where the script says how long a tick of them is.
func asLinux(want, got *segment, tick, tolerance time.Duration) {
	want.flags &^= psh
	got.flags &^= psh
	want.options, got.options = inOrder(want.options), inOrder(got.options)
	w, g := find(want.options, optTimestamp), find(got.options, optTimestamp)
	if w == nil || g == nil {
		return
	}
	if off := time.Duration(int32(g.a-w.a)) * tick; off.Abs() <= tolerance {
		g.a = w.a
	}
}

// inOrder is the options by their kind, without padding.
func inOrder(list []option) []option {
	list = slices.DeleteFunc(slices.Clone(list), func(o option) bool { return o.isPadding() })
	slices.SortStableFunc(list, func(a, b option) int { return int(a.kind) - int(b.kind) })
	return list
}

// usesCookie says whether a segment that arrives has the cookie of Fast Open
// that the stack would give.
func (s *Script) usesCookie() bool {
	return slices.ContainsFunc(s.events, func(e event) bool {
		in, ok := e.do.(*inbound)
		return ok && slices.ContainsFunc(in.options, func(o option) bool { return o.known })
	})
}

// cookiePort is where fetchCookie asks.
const cookiePort = 1

// fetchCookie asks the stack for the cookie of the peer's address, as an
// earlier connection of the peer's would have done.
func (r *run) fetchCookie() error {
	l, err := r.stack.Listen("tcp", fmt.Sprintf(":%d", cookiePort))
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.(interface{ SetFastOpen(int) error }).SetFastOpen(1); err != nil {
		return err
	}
	f := r.newFlow(0, cookiePort, peerPort)
	send := func(g segment) {
		g = f.arriving(g)
		r.card.arrive(r.card.frame(&g, f.remote, f.local, nil))
	}
	send(segment{flags: syn, options: []option{{kind: optFastOpen}}})
	w := <-r.card.seen
	f.departed(w.segment, segment{})
	send(segment{flags: rst, seq: 1})
	return w.err
}

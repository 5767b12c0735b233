package tcp

import "net/netip"

// firstHop is where the IP header of what t sends leads to: the peer, or the first
// gateway of a source route.
func (t *tcb) firstHop() netip.Addr { return t.route.towards(t.flow.Remote.Addr()) }

// heedRoute answers s by the way it came, if that was a source route and the
// open was passive (MUST-53): the latest counts (SHLD-24). The user's own is
// never replaced (MUST-52).
func (t *tcb) heedRoute(s *segment) {
	if t.passive && s.route != nil {
		t.route = s.route
		t.updateMSS()
	}
}

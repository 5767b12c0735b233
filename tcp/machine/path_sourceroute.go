package machine

import (
	"net/netip"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// FirstHop is where the IP header of what t sends leads to: the peer, or the first
// gateway of a source route.
func (t *TCB) FirstHop() netip.Addr { return t.route.Towards(t.flow.Remote.Addr()) }

// heedRoute answers s by the way it came, if that was a source route and the
// open was passive (MUST-53): the latest counts (SHLD-24). The user's own is
// never replaced (MUST-52).
func (t *TCB) heedRoute(s *segment.Segment) {
	if t.passive && s.Route != nil {
		t.route = s.Route
		t.updateMSS()
	}
}

package ip

import (
	"net/netip"

	"github.com/seed-012105e5/gonet/edge"
)

// Advice is what others tell the routing of what they have learned about paths
// (RFC 1122 section 3.3.1.4).
type Advice struct {
	// Dst is the destination that should be reached by another first hop:
	// Gateway (ICMP's Redirect, RFC 1122 section 3.2.2.2), or without From any
	// that is not the present one (TCP's advice that nothing comes back,
	// section 3.3.1.4). Without Dst the advice is that Gateway does not answer
	// (ARP's, section 3.3.1.4).
	Dst     netip.Addr
	Gateway netip.Addr
	From    netip.Addr // the gateway which sent the Redirect
}

// Advise tells each, and says whether all have taken it. Who gives advice does
// not wait.
func Advise(to []edge.Out[Advice], a Advice) bool {
	all := true
	for _, out := range to {
		all = out.Try(a) && all
	}
	return all
}

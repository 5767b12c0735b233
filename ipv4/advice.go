package ipv4

import (
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/ip"
)

// What Tx remembers of ICMP's advice, and for how long.
const (
	maxRedirects    = 256
	redirectTimeout = 10 * time.Minute
	deadTimeout     = time.Minute // then the preferred gateway is tried again
)

// A router is a Table together with what has been learned since: redirects,
// and gateways that do not answer (RFC 1122 sections 3.2.2.2, 3.3.1.3 and
// 3.3.1.4). It is a pure machine, and never probes: a gateway is found dead
// only by traffic for it.
type router struct {
	table     *ip.CurrentTable
	redirects map[netip.Addr]redirect  // by destination
	dead      map[netip.Addr]time.Time // gateways, with when to try them again
}

type redirect struct {
	hop   ip.Hop
	until time.Time
}

func newRouter(t *ip.CurrentTable) *router {
	return &router{table: t, redirects: map[netip.Addr]redirect{}, dead: map[netip.Addr]time.Time{}}
}

// plain says that nothing has been learned, so the Table alone decides.
func (r *router) plain() bool { return len(r.redirects)+len(r.dead) == 0 }

// route finds the next hop to dst, with what has been learned.
func (r *router) route(now time.Time, dst netip.Addr) (ip.Hop, bool) {
	hop, ok := r.table.Load().Lookup(dst)
	if !ok || hop.NextHop == dst {
		return hop, ok
	}
	if d, ok := r.redirects[dst]; ok {
		if now.Before(d.until) {
			return d.hop, true
		}
		delete(r.redirects, dst)
	}
	return r.alive(now, dst, hop), true
}

// alive is the first of the routes that are as good as that of hop whose
// gateway is not dead. When all are, hop is as good as any.
func (r *router) alive(now time.Time, dst netip.Addr, hop ip.Hop) ip.Hop {
	if other, ok := r.alternative(now, dst, netip.Addr{}); ok {
		return other
	}
	return hop
}

// alternative is the first of the best routes to dst whose gateway is neither
// dead nor avoid.
func (r *router) alternative(now time.Time, dst, avoid netip.Addr) (ip.Hop, bool) {
	return r.table.Load().Alternative(dst, func(gateway netip.Addr) bool { return gateway != avoid && !r.isDead(now, gateway) })
}

func (r *router) isDead(now time.Time, gateway netip.Addr) bool {
	until, dead := r.dead[gateway]
	if dead && !now.Before(until) {
		delete(r.dead, gateway)
		return false
	}
	return dead
}

// learn takes advice, and says whether it was worth it.
func (r *router) learn(now time.Time, a ip.Advice) bool {
	switch {
	case !a.Dst.IsValid():
		return r.gatewayDead(now, a.Gateway)
	case !a.From.IsValid():
		return r.pathDead(now, a.Dst)
	}
	return r.redirect(now, a)
}

// pathDead has what goes to dst take another way, if there is one: a redirect
// is forgotten, and otherwise the next gateway as good as the present one is
// tried (RFC 1122 section 3.3.1.5). Others who use that gateway are not
// concerned: what failed may lie behind it.
func (r *router) pathDead(now time.Time, dst netip.Addr) bool {
	hop, ok := r.route(now, dst)
	if !ok || hop.NextHop == dst {
		return false // ARP itself finds out that a neighbour is silent
	}
	if _, ok := r.redirects[dst]; ok {
		delete(r.redirects, dst)
		return true
	}
	other, ok := r.alternative(now, dst, hop.NextHop)
	if ok {
		r.divert(now, dst, other)
	}
	return ok
}

// divert has what goes to dst take hop for some time.
func (r *router) divert(now time.Time, dst netip.Addr, hop ip.Hop) {
	if len(r.redirects) >= maxRedirects {
		r.forgetOne()
	}
	r.redirects[dst] = redirect{hop, now.Add(redirectTimeout)}
}

// redirect believes a Redirect only from the present first hop to its
// destination, and only to another gateway on the same network (RFC 1122
// section 3.2.2.2).
func (r *router) redirect(now time.Time, a ip.Advice) bool {
	hop, ok := r.route(now, a.Dst)
	switch {
	case !ok || hop.NextHop == a.Dst || hop.NextHop != a.From: // what is on the link needs no gateway
		return false
	case !a.Gateway.Is4() || !ip.IsHost(a.Gateway) || a.Gateway == a.From:
		return false
	case r.table.Load().IsLocal(a.Gateway) || r.table.Load().IsBroadcast(a.Gateway) || !r.table.Load().OnLink(a.Gateway, hop.Link):
		return false
	}
	hop.NextHop = a.Gateway
	r.divert(now, a.Dst, hop)
	return true
}

// forgetOne makes room by dropping the oldest redirect; of several the one with
// the lowest address, so that a run can be repeated.
func (r *router) forgetOne() {
	var oldest netip.Addr
	for dst, d := range r.redirects {
		age := d.until.Compare(r.redirects[oldest].until)
		if !oldest.IsValid() || age < 0 || age == 0 && dst.Less(oldest) {
			oldest = dst
		}
	}
	delete(r.redirects, oldest)
}

// gatewayDead forgets the redirects to a gateway which does not answer, and
// gives up for some time the routes that lead to it.
func (r *router) gatewayDead(now time.Time, gateway netip.Addr) (found bool) {
	for dst, d := range r.redirects {
		if d.hop.NextHop == gateway {
			delete(r.redirects, dst)
			found = true
		}
	}
	if r.table.Load().HasGateway(gateway) {
		r.dead[gateway] = now.Add(deadTimeout)
		found = true
	}
	return found
}

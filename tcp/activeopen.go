package tcp

import (
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/ip"
)

// An activeOpen is what an active OPEN begins with.
type activeOpen struct {
	opts     *socketOptions
	route    *sourceRoute
	fastOpen bool   // with Fast Open, if that is possible,
	text     []byte // for this, as much as sendLimit allows
}

// open makes the connection of an active OPEN (RFC 9293 section 3.10.1), in
// SYN-SENT. F must be free, or reusable.
func (d *door) open(now time.Time, f ip.Flow, o *activeOpen) *tcb {
	old := d.timeWaits.reuse(f, d.stats)
	first := ip.EndpointOfAddrPort(netip.AddrPortFrom(o.route.towards(f.Remote.Addr()), 0))
	t := d.free.newTCB(&d.cfg, d.stats, f, d.initialSeq(now, f, old), d.mtu(ip.Flow{Remote: first}))
	t.adopt(o.opts)
	t.beginControl(time.Time{})
	t.route = o.route
	t.tsOffset = d.secrets.timestampOffset(f)
	d.recall(now, t)
	if o.fastOpen {
		t.fastOpen = d.servers.attempt(now, f)
		t.sendq.append(o.text)
	}
	t.open(now)
	return t
}

// sendLimit is how much text waits to be sent on a new connection at most.
func (d *door) sendLimit() int { return d.cfg.sendLimit() }

// taken says whether f is in TIME-WAIT, or half open.
func (d *door) taken(f ip.Flow) bool {
	_, waiting := d.timeWaits.byFlow[f]
	_, opening := d.halfOpens.byFlow[f]
	return waiting || opening
}

// reusable says whether f is in TIME-WAIT, and may be opened anew.
func (d *door) reusable(now time.Time, f ip.Flow) bool {
	tw, waiting := d.timeWaits.byFlow[f]
	return waiting && tw.reusable(now, &d.cfg)
}

// listens says whether somebody listens at local, or at all addresses of its port.
func (d *door) listens(local ip.Endpoint) bool { return d.listenersAt(local) != nil }

package machine

import (
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// An ActiveOpen is what an active OPEN begins with.
type ActiveOpen struct {
	Opts     *SocketOptions
	Route    *segment.SourceRoute
	FastOpen bool   // with Fast Open, if that is possible,
	Text     []byte // for this, as much as sendLimit allows
}

// Open makes the connection of an active OPEN (RFC 9293 section 3.10.1), in
// SYN-SENT. F must be free, or reusable.
func (d *Tables) Open(now time.Time, f ip.Flow, o *ActiveOpen) *TCB {
	old := d.timeWaits.reuse(f, d.stats)
	first := ip.EndpointOfAddrPort(netip.AddrPortFrom(o.Route.Towards(f.Remote.Addr()), 0))
	t := d.free.newTCB(&d.cfg, d.stats, f, d.initialSeq(now, f, old), d.mtu(ip.Flow{Remote: first}))
	t.adopt(o.Opts)
	t.beginControl(time.Time{})
	t.route = o.Route
	t.tsOffset = d.secrets.timestampOffset(f)
	d.recall(now, t)
	if o.FastOpen {
		t.fastOpen = d.servers.attempt(now, f)
		t.sendq.append(o.Text)
	}
	t.open(now)
	return t
}

// SendLimit is how much text waits to be sent on a new connection at most.
func (d *Tables) SendLimit() int { return d.cfg.sendLimit() }

// Taken says whether f is in TIME-WAIT, or half open.
func (d *Tables) Taken(f ip.Flow) bool {
	_, waiting := d.timeWaits.byFlow[f]
	_, opening := d.halfOpens.byFlow[f]
	return waiting || opening
}

// Reusable says whether f is in TIME-WAIT, and may be opened anew.
func (d *Tables) Reusable(now time.Time, f ip.Flow) bool {
	tw, waiting := d.timeWaits.byFlow[f]
	return waiting && tw.reusable(now, &d.cfg)
}

// Listens says whether somebody listens at local, or at all addresses of its port.
func (d *Tables) Listens(local ip.Endpoint) bool { return d.listenersAt(local) != nil }

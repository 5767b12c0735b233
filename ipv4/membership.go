package ipv4

import (
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// The part of Rx that moves events in and out of the IGMP machine.

// member serves a join or a leave. When it is answered the filter of the link knows
// of it, so what arrives after the answer is let in, or is not.
func (r *receiver) member(m ip.Membership) {
	link := m.Link
	if hop, ok := r.table.Load().Lookup(m.Group); link == -1 && ok {
		link = hop.Link
	}
	change := r.igmp.leave
	if m.Join {
		change = r.igmp.join
	}
	err := change(time.Now(), link, m.Group)
	r.afterIGMP()
	if m.Done != nil {
		m.Done <- err // there is room
	}
}

// receiveIGMP serves a message. It must come from a neighbour, as a forged one
// from elsewhere could silence our reports (RFC 2236 section 10); a switch
// that asks has no address.
func (r *receiver) receiveIGMP(b *packet.Buffer, h Header) {
	src := h.Src()
	if src != anyAddr && !r.table.Load().OnLink(src, b.Link) || !r.igmp.receive(time.Now(), b.Link, h.Dst(), h.Payload()) {
		drop(b, &r.stats.DropIGMP)
		return
	}
	r.stats.RxDelivered.Add(1)
	b.Release()
	r.afterIGMP()
}

// afterIGMP sends what the machine has to say, tells links of groups that have
// changed, and sets the timer. A message that Tx cannot take is lost, as it might be
// on the wire.
func (r *receiver) afterIGMP() {
	for msg, ok := r.igmp.output(); ok; msg, ok = r.igmp.output() {
		src := r.table.Load().SourceOn(msg.link, msg.group)
		if !src.IsValid() {
			continue
		}
		b := msg.datagram(src)
		if !r.tx.Offer(b, r.cfg.Random) {
			drop(b, &r.stats.DropTxFull)
		}
	}
	for link, filter := range r.filters {
		if set, changed := r.igmp.takeSet(link); changed && filter != nil {
			filter.SetGroups(set)
		}
	}
	r.arm()
}

package ipv4

import (
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/packet"
)

// The part of Rx that moves events in and out of the IGMP machine.

// member serves a join or a leave. It is answered when all links know of it, so
// that what arrives after the answer is let in, or is not.
func (r *receiver) member(m Membership) {
	link := m.Link
	if hop, ok := r.table.Lookup(m.Group); link == -1 && ok {
		link = hop.Link
	}
	change := r.igmp.leave
	if m.Join {
		change = r.igmp.join
	}
	err := change(time.Now(), link, m.Group)
	r.afterIGMP()
	r.asked, r.answer = m.Done, err
	r.answerMember()
}

// answerMember answers who has asked last, if all links have been told.
func (r *receiver) answerMember() {
	if r.asked != nil && r.untold() < 0 {
		r.asked <- r.answer
		r.asked = nil
	}
}

// receiveIGMP serves a message. It must come from a neighbour, as a forged one
// from elsewhere could silence our reports (RFC 2236 section 10); a switch
// that asks has no address.
func (r *receiver) receiveIGMP(b *packet.Buffer, h Header) {
	src := h.Src()
	if src != thisHostAddr && !r.table.onLink(src, b.Link) || !r.igmp.receive(time.Now(), b.Link, h.Dst(), h.Payload()) {
		drop(b, &r.stats.DropIGMP)
		return
	}
	r.stats.RxDelivered.Add(1)
	b.Release()
	r.afterIGMP()
}

// afterIGMP sends what the machine has to say, notes sets that have changed,
// and sets the timer. A message that Tx cannot take is lost, as it might be
// on the wire.
func (r *receiver) afterIGMP() {
	for msg, ok := r.igmp.output(); ok; msg, ok = r.igmp.output() {
		src := r.table.sourceOn(msg.link, msg.group)
		if !src.IsValid() {
			continue
		}
		b := msg.datagram(src)
		if !r.tx.Offer(b, r.cfg.Random) {
			drop(b, &r.stats.DropTxFull)
		}
	}
	for link := range r.sets {
		if set, changed := r.igmp.takeSet(link); changed {
			r.sets[link] = set
		}
	}
	r.arm()
}

// offer is the next set that a link is to be told of. Rx must not block on it,
// for ethernet.Rx may at that moment wait for Rx; so it is one case of a
// select, with a nil channel when there is nothing to tell.
func (r *receiver) offer() (chan<- []ethernet.Addr, []ethernet.Addr) {
	if i := r.untold(); i >= 0 {
		return r.groups[i], r.sets[i]
	}
	return nil, nil
}

// taken notes that the set on offer has been taken.
func (r *receiver) taken() {
	r.sets[r.untold()] = nil
	r.answerMember()
}

// untold is the first link that has still to be told its set, or -1.
func (r *receiver) untold() int {
	for i, set := range r.sets {
		if set != nil {
			return i
		}
	}
	return -1
}

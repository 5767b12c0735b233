package arp

import (
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/packet"
)

// Resolver brings IP datagrams to the card. A datagram from hop goes to the
// station that has its NextHop, for which it may have to wait; with
// Buffer.Group set it goes to the Ethernet group of NextHop when that is an IP
// multicast group, and to all stations otherwise. Frames go to tx, without
// padding, which is the device's. A datagram whose next hop does not answer
// goes to undeliverable as it came.
//
// ARP packets come from in, their front at the ARP header, and are answered
// on tx.
//
// When hop is closed, Resolver closes tx, drops what waits, and drains in
// until that is closed; then it returns.
//
//	Owns:      the cache, the claim on the own addresses, one timer
//	Reads:     hop; in, snapshots
//	Writes:    tx, undeliverable
//	Blocks on: hop; tx, which a card always drains; not on undeliverable
func Resolver(in edge.In[*packet.Buffer], hop *edge.Inbox, tx, undeliverable edge.Out[*packet.Buffer], snapshots edge.In[chan<- []Neighbour], cfg Config, stats *Stats) {
	r := resolver{newMachine(cfg, stats), in, hop, tx, undeliverable, snapshots}
	defer hop.Stop()
	r.machine.claim.start(time.Now())
	r.flush()
	for hop.Next(r.transmit) {
		if hop.Rung() {
			r.rung()
		}
		r.flush()
	}
	tx.Close()
	r.machine.cache.close()
	for b := range in.C() {
		b.Release()
	}
}

// A resolver is the state of Resolver, and its edges.
type resolver struct {
	*machine
	arps              edge.In[*packet.Buffer]
	hop               *edge.Inbox
	tx, undeliverable edge.Out[*packet.Buffer]
	snapshots         edge.In[chan<- []Neighbour]
}

// rung sees to what is rare: one of each, so that datagrams have their turn.
func (r *resolver) rung() {
	if r.hop.Due(time.Now()) {
		r.expire(time.Now())
	}
	if b, ok := r.arps.Try(); ok {
		r.receive(time.Now(), b.Bytes())
		b.Release()
		r.hop.Again()
	}
	if reply, ok := r.snapshots.Try(); ok {
		reply <- r.cache.snapshot(time.Now())
		r.hop.Again()
	}
}

// transmit sends a datagram, if its next hop is known.
func (r *resolver) transmit(b *packet.Buffer) {
	if r.ready(b) {
		r.tx.Send(b)
	} else {
		r.send(time.Now(), b)
	}
}

// flush sends what the machine wants sent, and sets the timer.
func (r *resolver) flush() {
	for _, b := range r.frames {
		r.tx.Send(b)
	}
	for _, b := range r.failed {
		if !r.undeliverable.Try(b) {
			r.stats.DropUndeliverable.Add(1)
			b.Release()
		}
	}
	r.outbox.empty()
	r.hop.RingAt(r.deadline())
}

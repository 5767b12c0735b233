package arp

import (
	"time"

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
//	Reads:     in, hop, cfg.Snapshots
//	Writes:    tx, undeliverable
//	Blocks on: all that it reads at once, and the timer; tx alone, which a
//	           card always drains; not on undeliverable
func Resolver(in, hop <-chan *packet.Buffer, tx, undeliverable chan<- *packet.Buffer, cfg Config, stats *Stats) {
	m := newMachine(cfg, stats)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var set time.Time // what the timer is set to
	m.claim.start(time.Now())
	arps := in
	for open := true; open; {
		open = burst(m, hop, tx)
		flush(m, tx, undeliverable)
		if d := m.deadline(); d != set {
			set = d
			if timer.Stop(); !d.IsZero() {
				timer.Reset(time.Until(d))
			}
		}
		if !open {
			break
		}
		select {
		case b, ok := <-hop:
			if open = ok; ok {
				transmit(m, b, tx)
			}
		case b, ok := <-arps:
			if !ok {
				arps = nil // the card has gone
				break
			}
			m.receive(time.Now(), b.Bytes())
			b.Release()
		case <-timer.C:
			set = time.Time{}
			m.expire(time.Now())
		case reply := <-cfg.Snapshots:
			reply <- m.cache.snapshot()
		}
	}
	close(tx)
	m.cache.close()
	drain(in)
}

// batch is how many datagrams are taken before Resolver looks at all its
// channels.
const batch = 64

// burst transmits the datagrams that are there, up to a batch, and says
// whether hop is open. A look at one channel costs a tenth of a select over
// all.
func burst(m *machine, hop <-chan *packet.Buffer, tx chan<- *packet.Buffer) bool {
	for range batch {
		select {
		case b, ok := <-hop:
			if !ok {
				return false
			}
			transmit(m, b, tx)
		default:
			return true
		}
	}
	return true
}

// transmit sends a datagram, if its next hop is known.
func transmit(m *machine, b *packet.Buffer, tx chan<- *packet.Buffer) {
	if m.ready(b) {
		tx <- b
	} else {
		m.send(time.Now(), b)
	}
}

// flush sends what the machine wants sent.
func flush(m *machine, tx, undeliverable chan<- *packet.Buffer) {
	for _, b := range m.frames {
		tx <- b
	}
	for _, b := range m.failed {
		select {
		case undeliverable <- b:
		default:
			m.stats.DropUndeliverable.Add(1)
			b.Release()
		}
	}
	m.outbox.empty()
}

func drain(in <-chan *packet.Buffer) {
	for b := range in {
		b.Release()
	}
}

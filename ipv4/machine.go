package ipv4

import (
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// Rx and Tx for a program that calls the layers itself, in one loop: the same
// machines without goroutines and without channels. Such a host has no ICMP.
// What Rx and Tx would have it told is dropped, and counted as lost
// (Stats.ErrorRequestsLost); so is what Rx sends by itself, which is IGMP and what
// it forwards (Stats.DropTxFull).

// An Input is Rx, a datagram a call. It has one caller at a time.
type Input struct{ r *receiver }

// NewInput returns the Input of a host that has the links of cfg.Table.
func NewInput(cfg RxConfig, stats *Stats) *Input {
	nobody := make([]*ethernet.Filter, cfg.Table.Load().Links()) // is told of groups
	return &Input{newReceiver(Up{}, nobody, ip.Edges{}, edge.Out[ip.ErrorRequest]{}, cfg, stats)}
}

// Receive checks a packet, which it takes. If that is for a protocol above, or
// completes a datagram that is, it returns it as [Up] describes, with the number
// of the protocol; otherwise nil.
func (i *Input) Receive(b *packet.Buffer) (*packet.Buffer, uint8) {
	b, protocol := i.r.accept(b)
	if b != nil {
		i.r.stats.RxDelivered.Add(1)
	}
	return b, protocol
}

// Deadline is when Expire has something to do; zero for never.
func (i *Input) Deadline() time.Time { return i.r.deadline() }

// Expire does what is due at now.
func (i *Input) Expire(now time.Time) { i.r.expire(now) }

// Close releases the fragments that wait.
func (i *Input) Close() { i.r.fragments.close() }

// An Output is Tx, a datagram a call. It has one caller at a time.
type Output struct{ t *transmitter }

// NewOutput returns an Output that calls hand with each packet for a link, its
// NextHop and Group set; link -1 stands for loopback. Hand takes the packet.
func NewOutput(cfg TxConfig, hand func(link int, b *packet.Buffer), stats *Stats) *Output {
	t := newTransmitter(edge.Out[*packet.Buffer]{}, edge.Out[*packet.Buffer]{}, nil, edge.Out[ip.ErrorRequest]{}, cfg, stats)
	t.hand = hand
	return &Output{t}
}

// Send finishes a datagram that was made with [Push], and hands it to its link.
// It takes b.
func (o *Output) Send(b *packet.Buffer) { o.t.send(b) }

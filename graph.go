package gonet

import (
	"net/netip"
	"sync"

	"github.com/seed-012105e5/gonet/arp"
	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/rawip"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/udp"
)

// This file is the map of the house. Every channel between layers, and every
// go statement of the fixed processes, stands here.
//
//	                 ┌───────────────── ipv4.Tx ◀─── ipTx, answers ◀──────┐
//	                 │ hop                 │ ▲                            │
//	                 ▼                     │ └─ advice ─┐                 │
//	link.Tx ◀── arp.Resolver ─ dead ───────┼──────────▶ │                 │
//	                 ▲                     │          icmp.Run ──────────▶┤
//	                 │ arp              ip │     icmpRx ▲  │ reports      │
//	                 │      ip             ▼            │  ▼              │
//	link.Rx ──▶ ethernet.Rx ─────────▶ ipv4.Rx ── udpRx ▶ udp.Demux       │
//	                 ▲                  │ ▲  └──── tcpRx ▶ tcp.Demux ────▶┤
//	                 └──── groups ──────┘ │                  │ segments   │
//	                                    joins                ▼            │
//	                                      └─ udp sockets   connections ──▶┤
//	                                                         │            │
//	                                                       tcp.Transmit ─▶┘
//
// There is one ethernet.Rx, one arp.Resolver and one ipv4.Tx for each link, one
// more ipv4.Tx for loopback, one tcp.Transmit for each of these, and one of each of
// the others. A connection is no process: its state belongs to whoever holds its
// token (tcp/token.go), be it tcp.Demux, a user, a timer, or tcp.Transmit, which
// waits for the edge when that is full. A link of IP datagrams has rawip.Rx in place of ethernet.Rx, and no
// arp.Resolver: its hop is link.Tx itself. Not drawn: problems, on which ipv4 and udp tell icmp.Run of datagrams
// that deserve an ICMP error; advice of connections about paths that seem dead;
// diverted, by which one ipv4.Tx gives another what has lost its own gateway; and
// the calls of users to the demultiplexers, to icmp.Run, and to dns.Run, which is
// a user of sockets itself: it starts one process a query.
//
// Rules, which keep it free of deadlock:
//
//  1. Transmit edges (ipTx, hop, link.Tx) block. They form a DAG that ends at
//     a link, and a link always drains. Each link has its own: whoever sends
//     takes the edge of the link that his datagram leaves by (ipv4.Edges), so a
//     card that is slow, or stuck, holds up nobody but those who send by it.
//  2. Every consumer of a receive edge is always ready, in the end: it blocks
//     on receive edges further on only. Whoever turns receiving into
//     transmitting (echo replies, resets, ARP and IGMP, forwarding, problems,
//     advice) drops and counts its own packet when the edge is full. What it
//     sends has an edge of its own into ipv4.Tx, answers: on an edge where
//     others wait, who does not wait never finds room.
//  3. Who holds the token of a connection waits for nothing. tcp.Transmit waits
//     without it.
//  4. Loopback is the edge from ipv4.Tx to ip. It may block, because by rule 2
//     ipv4.Rx never waits for ipv4.Tx.
//  5. What an ipv4.Tx has for the link of another it drops and counts when there
//     is no room.
//
// How it ends: Close has the sockets end, then closes quit. Each ipv4.Tx returns
// and closes its hop; each arp.Resolver closes its link.Tx, and the link
// closes its Rx. From there each process returns when its input closes, and
// closes the edges that it alone writes. Edges with several writers are closed
// here, once these have returned.

// queue is how many packets wait on an edge between layers. With more of them
// trains of 64 KB are no longer in the cache when their turn comes; with fewer,
// small packets come in too small a batch.
const queue = 16

// answerQueue is the same for answers, whose writers drop what finds no room.
// SYNs come in bursts as long as a card's queue, faster than their answers
// leave: with 64 a flood of 100,000 a second had one SYN-ACK in six dropped. So
// there is room for the SYN-ACKs of all half-open connections.
const answerQueue = 4096

// problemQueue is the same for problems, which come in bursts too. It has room
// for more than wait on the edges before it: else whether a sender gets an error
// would tell how many others were about to (see [ipv4.Problem.Raise]).
const problemQueue = 256

type packets = chan *packet.Buffer

// start makes the channels and the processes of s.
func (s *Stack) start(cfg Config, all []Interface, table *ipv4.Table, random *randomness) {
	var (
		ip        = make(packets, queue)
		loopTx    = make(packets, queue)
		loopBack  = make(packets, answerQueue)
		icmpRx    = make(packets, queue)
		udpRx     = make(packets, queue)
		tcpRx     = make(packets, queue)
		dead      = make(packets, queue)
		problems  = make(chan ipv4.Problem, problemQueue)
		udpErrs   = make(chan ipv4.Report, queue)
		tcpErrs   = make(chan ipv4.Report, queue)
		joins     = make(chan ipv4.Membership)
		pings     = make(chan icmp.Ping)
		udpCalls  = make(chan udp.Call)
		tcpCalls  = make(chan tcp.Call)
		lookups   = make(chan dns.Call)
		loopQueue = tcp.NewTransmitQueue(loopTx)
		queues    = []*tcp.TransmitQueue{loopQueue}
		ipTx      []chan<- *packet.Buffer // by link, as the following are
		answers   []chan<- *packet.Buffer
		diverted  []chan<- *packet.Buffer
		advice    []chan<- ipv4.Advice
		groups    []chan<- []ethernet.Addr
		senders   []func(ipv4.TxConfig)
		open      = []packets{loopTx, loopBack, dead} // edges that nobody closes
	)

	var intoIP sync.WaitGroup // those who write to ip
	for i, f := range all {
		hop, arpRx, joined := make(packets, queue), make(packets, queue), make(chan []ethernet.Addr)
		in, reply, around, news := make(packets, queue), make(packets, answerQueue), make(packets, queue), make(chan ipv4.Advice, queue)
		ipTx, answers, diverted, advice = append(ipTx, in), append(answers, reply), append(diverted, around), append(advice, news)
		groups = append(groups, joined)
		open = append(open, in, reply, around)
		down := (chan<- *packet.Buffer)(hop)
		resolver := arp.Config{
			MAC: f.Link.MAC, Addrs: addresses(f.Addrs), Gateways: table.Gateways(i), Static: f.Static, Probe: f.Probe, Random: random.source(),
		}
		arrive := func() { ethernet.Rx(f.Link.Rx, f.Link.MAC, i, joined, arpRx, ip, &s.stats.ethernet[i]) }
		if f.Link.IP { // there is nobody to resolve: the next hop is whoever is at the other end
			down = f.Link.Tx
			arrive = func() { rawip.Rx(f.Link.Rx, i, joined, ip, &s.stats.rawip[i]) }
		} else {
			s.run(func() { arp.Resolver(arpRx, hop, f.Link.Tx, dead, resolver, &s.stats.arp[i]) })
		}
		waiting := tcp.NewTransmitQueue(in)
		queues = append(queues, waiting)
		s.run(func() { tcp.Transmit(waiting, in) })
		intoIP.Add(2)
		s.run(func() {
			arrive()
			intoIP.Done()
			for range joined { // IP waits until even a dead card has heard of groups
			}
		})
		senders = append(senders, func(tx ipv4.TxConfig) {
			ipv4.Tx(in, reply, around, news, s.quit, down, ip, diverted, problems, tx, &s.stats.ipv4)
			intoIP.Done()
		})
	}
	waits := ipv4.Edges{Table: table, Links: ipTx, Loop: loopTx}
	drops := ipv4.Edges{Table: table, Links: answers, Loop: loopBack}

	rx := ipv4.RxConfig{Table: table, Forward: cfg.Forward, AcceptSourceRoute: cfg.AcceptSourceRoute, Random: random.source()}
	up := ipv4.Up{ICMP: icmpRx, UDP: udpRx, TCP: tcpRx}
	s.run(func() { ipv4.Rx(ip, joins, up, groups, drops, problems, rx, &s.stats.ipv4) })
	for i, send := range senders {
		tx := ipv4.TxConfig{Table: table, Link: i, Random: random.source()}
		s.run(func() { send(tx) })
	}

	control := icmp.Config{Table: table, Random: random.source()}
	s.run(func() {
		icmp.Run(icmpRx, dead, problems, pings, drops, udpErrs, tcpErrs, advice, control, &s.stats.icmp)
	})
	datagrams := cfg.UDP
	datagrams.Table, datagrams.Random = table, random.source()
	udpEnded := s.run(func() { udp.Demux(udpRx, udpErrs, udpCalls, problems, datagrams, &s.stats.udp) })
	streams := cfg.TCP
	streams.Table, streams.Random = table, random.source()
	s.run(func() { tcp.Transmit(loopQueue, loopTx) })
	tcpEnded := s.run(func() { tcp.Demux(tcpRx, tcpErrs, tcpCalls, waits, queues, drops, advice, streams, &s.stats.tcp) })
	loop := ipv4.TxConfig{Table: table, Link: -1, Random: random.source()}
	intoIP.Add(1)
	s.run(func() {
		ipv4.Tx(loopTx, loopBack, nil, nil, s.quit, nil, ip, diverted, problems, loop, &s.stats.ipv4)
		intoIP.Done()
	})

	s.udp = udp.NewSockets(udpCalls, waits, joins, udpEnded, datagrams, &s.stats.udp)
	s.tcp = tcp.NewSockets(tcpCalls, tcpEnded)
	s.icmp = icmp.NewPinger(pings, udpEnded)

	names := cfg.DNS
	names.Dial, names.Random = s.dialServer, random.source()
	dnsEnded := s.run(func() { dns.Run(lookups, s.quit, names, &s.stats.dns) })
	s.dns = dns.NewResolver(lookups, dnsEnded, names)

	go func() {
		intoIP.Wait()
		close(ip)
		s.all.Wait()
		s.drain(problems, open...)
		close(s.ended)
	}()
}

// run starts a process, and returns a channel that is closed when it has
// returned.
func (s *Stack) run(process func()) <-chan struct{} {
	ended := make(chan struct{})
	s.all.Add(1)
	go func() {
		process()
		close(ended)
		s.all.Done()
	}()
	return ended
}

// drain gives back what was still under way on edges that have no end of
// their own.
func (s *Stack) drain(problems chan ipv4.Problem, edges ...packets) {
	for _, edge := range edges {
		for len(edge) > 0 {
			(<-edge).Release()
		}
	}
	for len(problems) > 0 {
		(<-problems).Packet.Release()
	}
}

func addresses(prefixes []netip.Prefix) (addrs []netip.Addr) {
	for _, p := range prefixes {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

package gonet

import (
	"net/netip"
	"sync"

	"github.com/seed-012105e5/gonet/arp"
	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/ip"
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
//	                 │ arpRx          ipRx │     icmpRx ▲  │ tcpErrs      │
//	                 │      ipRx           ▼            │  ▼ udpErrs      │
//	link.Rx ──▶ ethernet.Rx ─────────▶ ipv4.Rx ── udpRx ▶ udp.Demux       │
//	                                      ▲  └─── tcpRx ▶ tcp.Demux ─────▶┤
//	                                      │                  │ segments   │
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
// arp.Resolver: its hop is link.Tx itself.
// Not drawn: errorRequests, on which ipv4 and udp tell icmp.Run of datagrams
// that deserve an ICMP error; advice of connections about paths that seem dead;
// diverted, by which one ipv4.Tx gives another what has lost its own gateway; loopTx
// and loopBack, which are ipTx and answers of loopback; and what users ask of the
// demultiplexers by udpCalls and tcpCalls, of icmp.Run by pings, of arp.Resolver by neighbours, and by lookups of
// dns.Run, which is a user of sockets itself: it starts one process a query.
//
// Each process waits in one edge, its inbox (package edge): the way of most packets.
// Whoever puts something into another of its edges rings the bell of the inbox.
//
// Rules, which keep it free of deadlock:
//
//  1. Transmit edges (ipTx, hop, link.Tx) block. They form a DAG that ends at
//     a link, and a link always drains. Each link has its own: whoever sends
//     takes the edge of the link that his datagram leaves by (ip.Edges), so a
//     card that is slow, or stuck, holds up nobody but those who send by it.
//  2. Every consumer of a receive edge is always ready, in the end: it blocks
//     on receive edges further on only. Whoever turns receiving into
//     transmitting (echo replies, resets, ARP and IGMP, forwarding, requests for errors,
//     advice) drops and counts its own packet when the edge is full. What it
//     sends has an edge of its own into ipv4.Tx, answers: on an edge where
//     others wait, who does not wait never finds room.
//  3. Who holds the token of a connection waits for nothing. tcp.Transmit waits
//     without it.
//  4. Loopback is the edge from ipv4.Tx to ipRx. It may block, because by rule 2
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

// errorRequestQueue is the same for requests for errors, which come in bursts too. It has room
// for more than wait on the edges before it: else whether a sender gets an error
// would tell how many others were about to (see [ip.ErrorRequest.Send]).
const errorRequestQueue = 256

// all is the link of an edge of which there is one for all links.
const all = -1

// add puts an edge into the registry of s, by its name in the drawing. All edges are
// made by way of it: [Stack.Edges] tells of them, and the test of the drawing finds
// them.
func add[E interface{ State() edge.State }](s *Stack, name string, link int, e E) E {
	s.edges = append(s.edges, func() edge.State {
		state := e.State()
		state.Name, state.Link = name, link
		return state
	})
	return e
}

// start makes the channels and the processes of s.
func (s *Stack) start(cfg Config, links []Interface, table *ip.CurrentTable, random *randomness) {
	var (
		ipRx          = add(s, "ipRx", all, edge.NewInbox(queue))
		loopTx        = add(s, "loopTx", all, edge.NewInbox(queue))
		loopBack      = add(s, "loopBack", all, edge.New[*packet.Buffer](answerQueue, loopTx))
		icmpRx        = add(s, "icmpRx", all, edge.NewInbox(queue))
		udpRx         = add(s, "udpRx", all, edge.NewInbox(queue))
		tcpRx         = add(s, "tcpRx", all, edge.NewInbox(queue))
		dead          = add(s, "dead", all, edge.New[*packet.Buffer](queue, icmpRx))
		errorRequests = add(s, "errorRequests", all, edge.New[ip.ErrorRequest](errorRequestQueue, icmpRx))
		pings         = add(s, "pings", all, edge.New[icmp.Ping](queue, icmpRx))
		udpErrs       = add(s, "udpErrs", all, edge.New[ip.ICMPError](queue, udpRx))
		tcpErrs       = add(s, "tcpErrs", all, edge.New[ip.ICMPError](queue, tcpRx))
		joins         = add(s, "joins", all, edge.New[ip.Membership](queue, ipRx))
		udpCalls      = add(s, "udpCalls", all, edge.New[udp.Call](queue, udpRx))
		tcpCalls      = add(s, "tcpCalls", all, edge.New[tcp.Call](queue, tcpRx))
		lookups       = add(s, "lookups", all, edge.New[dns.Call](0, nil))
		loopQueue     = tcp.NewTransmitQueue(loopTx.Out())
		queues        = []*tcp.TransmitQueue{loopQueue}
		ipTx          []edge.Out[*packet.Buffer] // by link, as the following are
		answers       []edge.Out[*packet.Buffer]
		diverted      []edge.Out[*packet.Buffer]
		advice        []edge.Out[ip.Advice]
		filters       []*ethernet.Filter
		senders       []func(ipv4.TxConfig)
		open          = []edge.In[*packet.Buffer]{loopTx.In(), loopBack.In(), dead.In()} // edges that may not be empty in the end
	)
	s.tx = append(s.tx, loopTx)

	var intoIP sync.WaitGroup // those who write to ipRx
	for i, f := range links {
		in := add(s, "ipTx", i, edge.NewInbox(queue))
		reply := add(s, "answers", i, edge.New[*packet.Buffer](answerQueue, in))
		around := add(s, "diverted", i, edge.New[*packet.Buffer](queue, in))
		news := add(s, "advice", i, edge.New[ip.Advice](queue, in))
		rx := add(s, "link.Rx", i, edge.InboxFrom(f.Link.Rx))
		tx := add(s, "link.Tx", i, edge.To(f.Link.Tx))
		ipTx, answers, diverted, advice = append(ipTx, in.Out()), append(answers, reply.Out()), append(diverted, around.Out()), append(advice, news.Out())
		open = append(open, in.In(), reply.In(), around.In())
		s.tx = append(s.tx, in)

		filter, down, arrive := (*ethernet.Filter)(nil), tx.Out(), func() { rawip.Rx(rx, i, ipRx.Out(), &s.stats.rawip[i]) }
		if !f.Link.IP { // else there is nobody to resolve: the next hop is whoever is at the other end
			hop := add(s, "hop", i, edge.NewInbox(queue))
			arpRx := add(s, "arpRx", i, edge.New[*packet.Buffer](queue, hop))
			snapshots := add(s, "neighbours", i, edge.New[chan<- []arp.Neighbour](queue, hop))
			filter, down = ethernet.NewFilter(f.Link.MAC), hop.Out()
			resolver := arp.Config{
				MAC: f.Link.MAC, Addrs: addresses(f.Addrs), Gateways: table.Load().Gateways(i), Static: f.Static, Probe: f.Probe, Random: random.source(),
			}
			ended := s.run(func() { arp.Resolver(arpRx.In(), hop, tx.Out(), dead.Out(), snapshots.In(), resolver, &s.stats.arp[i]) })
			s.neighbours[i] = arp.NewNeighbours(snapshots.Out(), ended)
			arrive = func() { ethernet.Rx(rx, filter, i, arpRx.Out(), ipRx.Out(), &s.stats.ethernet[i]) }
		}
		filters = append(filters, filter)
		waiting := tcp.NewTransmitQueue(in.Out())
		queues = append(queues, waiting)
		s.run(func() { tcp.Transmit(waiting, in.Out()) })
		intoIP.Add(2)
		s.run(func() {
			arrive()
			intoIP.Done()
		})
		senders = append(senders, func(c ipv4.TxConfig) {
			ipv4.Tx(in, reply.In(), around.In(), news.In(), down, ipRx.Out(), diverted, errorRequests.Out(), c, &s.stats.ipv4)
			intoIP.Done()
		})
	}
	waits := ip.Edges{Table: table, Links: ipTx, Loop: loopTx.Out()}
	drops := ip.Edges{Table: table, Links: answers, Loop: loopBack.Out()}

	rx := ipv4.RxConfig{Table: table, Forward: cfg.Forward, AcceptSourceRoute: cfg.AcceptSourceRoute, Random: random.source()}
	up := ipv4.Up{ICMP: icmpRx.Out(), UDP: udpRx.Out(), TCP: tcpRx.Out()}
	s.run(func() {
		ipv4.Rx(ipRx, joins.In(), up, filters, drops, errorRequests.Out(), rx, &s.stats.ipv4)
		icmpRx.Close()
	})
	for i, send := range senders {
		tx := ipv4.TxConfig{Table: table, Link: i, Random: random.source()}
		s.run(func() { send(tx) })
	}

	control := icmp.Config{Table: table, Random: random.source()}
	s.run(func() {
		icmp.Run(icmpRx, dead.In(), errorRequests.In(), pings.In(), drops, udpErrs.Out(), tcpErrs.Out(), advice, control, &s.stats.icmp)
		udpRx.Close()
		tcpRx.Close()
	})
	datagrams := cfg.UDP
	datagrams.Table, datagrams.Random = table, random.source()
	udpEnded := s.run(func() { udp.Demux(udpRx, udpErrs.In(), udpCalls.In(), errorRequests.Out(), datagrams, &s.stats.udp) })
	streams := cfg.TCP
	streams.Table, streams.Random = table, random.source()
	s.run(func() { tcp.Transmit(loopQueue, loopTx.Out()) })
	tcpEnded := s.run(func() {
		tcp.Demux(tcpRx, tcpErrs.In(), tcpCalls.In(), waits, queues, drops, advice, streams, &s.stats.tcp)
	})
	loop := ipv4.TxConfig{Table: table, Link: -1, Random: random.source()}
	intoIP.Add(1)
	s.run(func() {
		ipv4.Tx(loopTx, loopBack.In(), edge.In[*packet.Buffer]{}, edge.In[ip.Advice]{}, edge.Out[*packet.Buffer]{}, ipRx.Out(), diverted, errorRequests.Out(), loop, &s.stats.ipv4)
		intoIP.Done()
	})

	s.udp = udp.NewSockets(udpCalls.Out(), waits, joins.Out(), udpEnded, datagrams, &s.stats.udp)
	s.tcp = tcp.NewSockets(tcpCalls.Out(), tcpEnded)
	s.icmp = icmp.NewPinger(pings.Out(), udpEnded)

	names := cfg.DNS
	names.Dial, names.Random = s.dialServer, random.source()
	dnsEnded := s.run(func() { dns.Run(lookups.In(), s.quit, names, &s.stats.dns) })
	s.dns = dns.NewResolver(lookups.Out(), dnsEnded, names)

	go func() {
		intoIP.Wait()
		ipRx.Close()
		s.all.Wait()
		s.drain(errorRequests.In(), open)
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
func (s *Stack) drain(errorRequests edge.In[ip.ErrorRequest], edges []edge.In[*packet.Buffer]) {
	for _, e := range edges {
		e.Drain(func(b *packet.Buffer) {
			if b != nil { // a bell
				b.Release()
			}
		})
	}
	errorRequests.Drain(func(r ip.ErrorRequest) { r.Packet.Release() })
}

func addresses(prefixes []netip.Prefix) (addrs []netip.Addr) {
	for _, p := range prefixes {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

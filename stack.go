package gonet

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/seed-012105e5/gonet/arp"
	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/internal/counter"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/rawip"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/udp"
)

// A Stack is a host, or a router, with its own TCP/IP. Its methods may be
// called from any goroutine.
type Stack struct {
	links []link.Link
	tcp   *tcp.Sockets
	udp   *udp.Sockets
	icmp  *icmp.Pinger
	dns   *dns.Resolver
	stats statistics
	edges []func() edge.State // the registry of start
	tx    []*edge.Inbox       // of each ipv4.Tx

	neighbours []*arp.Neighbours // by link; nil for one without ARP

	keepAlive net.KeepAliveConfig // of connections

	all   sync.WaitGroup // the fixed processes
	quit  chan struct{}  // closed to end dns.Run
	close chan struct{}  // holds one token, for the first Close
	ended chan struct{}  // closed when all processes have ended
}

// statistics are the counters of all layers.
type statistics struct {
	ethernet []ethernet.Stats // a link
	arp      []arp.Stats
	rawip    []rawip.Stats // of links without Ethernet
	ipv4     ipv4.Stats
	icmp     icmp.Stats
	udp      udp.Stats
	tcp      tcp.Stats
	dns      dns.Stats
}

// New starts a stack. It owns the links of cfg from then on, also when it
// returns an error.
func New(cfg Config) (*Stack, error) {
	all := cfg.interfaces()
	random := randomness{from: cfg.Rand}
	table, err := cfg.table(all)
	if err == nil {
		err = cfg.TCP.Check()
	}
	if err == nil {
		err = cfg.DNS.Check()
	}
	if err == nil {
		_, err = random.source(), random.err // find out early whether Rand works
	}
	if err != nil {
		for _, f := range all {
			if f.Link.Tx != nil {
				close(f.Link.Tx)
			}
		}
		return nil, err
	}
	s := &Stack{
		keepAlive: keptAlive(tcp.ConnOptions{KeepAlive: net.KeepAliveConfig{Enable: true}}, cfg.KeepAlive, cfg.KeepAliveConfig).KeepAlive,
		quit:      make(chan struct{}), close: make(chan struct{}, 1), ended: make(chan struct{}),
		stats:      statistics{ethernet: make([]ethernet.Stats, len(all)), arp: make([]arp.Stats, len(all)), rawip: make([]rawip.Stats, len(all))},
		neighbours: make([]*arp.Neighbours, len(all)),
	}
	for _, f := range all {
		s.links = append(s.links, f.Link)
	}
	s.close <- struct{}{}
	s.start(cfg, all, table, &random)
	return s, nil
}

// Close ends the stack: all sockets are closed, peers of TCP connections get a
// reset, the links are closed. It returns when every goroutine of the stack
// has ended.
func (s *Stack) Close() error {
	select {
	case <-s.close:
		s.udp.Shutdown()
		s.tcp.Shutdown() // last, as it stays for some round trips
		close(s.quit)
		for _, in := range s.tx {
			in.Close()
		}
	default:
	}
	<-s.ended
	return nil
}

// Stats is the counters of a stack at one moment, by layer and name:
// "tcp.Retransmits". A name with Drop in it is a reason for which packets were
// dropped. The counters of links have the name of the link in front.
type Stats map[string]uint64

// Stats returns the counters of all layers.
func (s *Stack) Stats() Stats {
	stats := make(Stats)
	add := func(name string, value uint64) { stats[name] += value }
	for i, l := range s.links {
		counter.Read(l.Name, l.Counters(), add)
		counter.Read("ethernet", &s.stats.ethernet[i], add)
		counter.Read("arp", &s.stats.arp[i], add)
		counter.Read("rawip", &s.stats.rawip[i], add)
	}
	counter.Read("ipv4", &s.stats.ipv4, add)
	counter.Read("icmp", &s.stats.icmp, add)
	counter.Read("udp", &s.stats.udp, add)
	counter.Read("tcp", &s.stats.tcp, add)
	counter.Read("dns", &s.stats.dns, add)
	return stats
}

// Edges returns the state of each edge of the graph, that is of each channel between
// two processes of the stack, or between users and one: how many packets or messages
// wait in it, how many have passed, and how often a sender has had to wait. Name is
// that in doc/graph.md. It may be called as often as wanted, and delays nobody.
func (s *Stack) Edges() []edge.State {
	states := make([]edge.State, len(s.edges))
	for i, state := range s.edges {
		states[i] = state()
	}
	return states
}

// Drops returns the counters of dropped packets that are not zero.
func (s Stats) Drops() Stats {
	drops := make(Stats)
	for name, value := range s {
		if value > 0 && strings.Contains(name, ".Drop") {
			drops[name] = value
		}
	}
	return drops
}

// String is the counters that are not zero, one a line, sorted.
func (s Stats) String() string {
	var lines []string
	for name, value := range s {
		if value > 0 {
			lines = append(lines, fmt.Sprintf("%-32s %d\n", name, value))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// Connections returns the state of all TCP connections and listeners, as ss
// does, sorted by local and remote address.
func (s *Stack) Connections() []tcp.Info {
	infos := s.tcp.Connections()
	slices.SortFunc(infos, func(a, b tcp.Info) int {
		if c := a.Local.Compare(b.Local); c != 0 {
			return c
		}
		return a.Remote.Compare(b.Remote)
	})
	return infos
}

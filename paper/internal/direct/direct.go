// Package direct is GoNet without its graph: the same machines, called one after
// the other in one loop, without channels and with one goroutine. The difference
// between the two is what the graph costs.
//
//	device ─▶ ethernet.Demux ─▶ ipv4.Input ─▶ machine.Loop ─▶ the program, a function
//	       └▶ arp.Station ◀──── ipv4.Output ◀──────┘
//	device ◀──────┘
//
// Buffers, counters and the code of the device are those of GoNet too. There is
// no UDP and no ICMP.
package direct

import (
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/arp"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/internal/counter"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/tcp/machine"
)

// A Device is a network card; tap.Polled is one.
type Device interface {
	// Receive returns the next frame, or nil.
	Receive() *packet.Buffer
	// Send takes a frame.
	Send(*packet.Buffer)
	// Poll calls turn whenever there is a frame or the instant next has come,
	// and at once when it is not idle, until the device is closed.
	Poll(turn func() (next time.Time, idle bool)) error
}

// Config says what a stack is made of.
type Config struct {
	MAC    ethernet.Addr
	Addr   netip.Prefix
	MTU    int
	Random func() uint64
	TCP    tcp.Config // its Table and Random are set by New
}

// A Stack is a host with one card, of which one goroutine does everything.
type Stack struct {
	device Device
	filter *ethernet.Filter
	arp    *arp.Station
	in     *ipv4.Input
	out    *ipv4.Output
	tcp    *machine.Loop
	now    time.Time // of the turn, or of the packet that is looked at
	next   time.Time // when expire has something to do
	stats  statistics
}

type statistics struct {
	ethernet ethernet.Stats
	arp      arp.Stats
	ipv4     ipv4.Stats
	tcp      tcp.Stats
}

// New makes a stack.
func New(device Device, cfg Config) (*Stack, error) {
	table, err := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{cfg.Addr}, MTU: cfg.MTU}}, nil)
	if err != nil {
		return nil, err
	}
	current := ip.Publish(table)
	s := &Stack{device: device, filter: ethernet.NewFilter(cfg.MAC), now: time.Now()}
	s.filter.SetGroups([]ethernet.Addr{ethernet.Multicast(netip.AddrFrom4([4]byte{224, 0, 0, 1}))})
	station := arp.Config{MAC: cfg.MAC, Addrs: []netip.Addr{cfg.Addr.Addr()}, Random: cfg.Random}
	s.arp = arp.NewStation(s.now, station, device.Send, &s.stats.arp)
	s.in = ipv4.NewInput(ipv4.RxConfig{Table: current, Random: cfg.Random}, &s.stats.ipv4)
	s.out = ipv4.NewOutput(ipv4.TxConfig{Table: current, Random: cfg.Random}, s.toLink, &s.stats.ipv4)
	cfg.TCP.Table, cfg.TCP.Random = current, cfg.Random
	if err := cfg.TCP.Check(); err != nil {
		return nil, err
	}
	s.tcp = machine.NewLoop(cfg.TCP, s.out.Send, &s.stats.tcp)
	return s, nil
}

// Listen has the connections to a port served.
func (s *Stack) Listen(port uint16, serve machine.Service) error {
	return s.tcp.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port), serve)
}

// Run is the loop. It returns when the device is closed, having released
// everything, and says why.
func (s *Stack) Run() error {
	err := s.device.Poll(s.turn)
	s.tcp.Close(time.Now())
	s.in.Close()
	s.arp.Close()
	return err
}

// framesAtOnce is how many frames come in before what they ask for is done: as
// many as a connection sends before others have their turn.
const framesAtOnce = 16

// turn is one round of the loop.
func (s *Stack) turn() (next time.Time, idle bool) {
	n := 0
	for ; n < framesAtOnce; n++ {
		b := s.device.Receive()
		if b == nil {
			break
		}
		s.frame(b)
	}
	s.now = time.Now()
	if !s.next.IsZero() && !s.next.After(s.now) {
		s.expire()
	}
	again := s.tcp.Work(s.now)
	s.next = s.deadline()
	return s.next, n < framesAtOnce && !again
}

// frame takes a frame up.
func (s *Stack) frame(b *packet.Buffer) {
	switch ethernet.Demux(b, s.filter, 0, &s.stats.ethernet) {
	case ethernet.TypeIPv4:
		s.datagram(b)
	case ethernet.TypeARP:
		s.arp.Receive(b.Arrived, b)
	default:
		b.Release()
	}
}

// datagram takes a datagram up.
func (s *Stack) datagram(b *packet.Buffer) {
	switch b, protocol := s.in.Receive(b); {
	case b == nil:
	case protocol == ip.ProtocolTCP:
		s.now = b.Arrived
		s.tcp.Arrives(b)
	default:
		b.Release()
	}
}

// toLink takes a datagram down. Nobody speaks to this host itself.
func (s *Stack) toLink(link int, b *packet.Buffer) {
	if link < 0 {
		b.Release()
		return
	}
	s.arp.Send(s.now, b)
}

// expire does what is due.
func (s *Stack) expire() {
	for _, m := range [...]timed{s.arp, s.in, s.tcp} {
		if d := m.Deadline(); !d.IsZero() && !d.After(s.now) {
			m.Expire(s.now)
		}
	}
}

// deadline is when expire has something to do; zero for never.
func (s *Stack) deadline() (next time.Time) {
	for _, m := range [...]timed{s.arp, s.in, s.tcp} {
		if d := m.Deadline(); next.IsZero() || !d.IsZero() && d.Before(next) {
			next = d
		}
	}
	return next
}

// A timed machine wants the time now and then.
type timed interface {
	Deadline() time.Time
	Expire(now time.Time)
}

// Stats returns the counters of all layers, by the names that GoNet's have.
func (s *Stack) Stats() map[string]uint64 {
	stats := make(map[string]uint64)
	add := func(name string, value uint64) { stats[name] += value }
	counter.Read("ethernet", &s.stats.ethernet, add)
	counter.Read("arp", &s.stats.arp, add)
	counter.Read("ipv4", &s.stats.ipv4, add)
	counter.Read("tcp", &s.stats.tcp, add)
	return stats
}

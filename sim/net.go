package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
)

// A Net is hosts and routers joined by links, in virtual time. It is built by
// Host, Router and Join, begins with Start, and is then used by workloads (see
// [Net.Bulk], [Net.Go]) while [Net.Wait] lets time pass. [Run] makes one.
type Net struct {
	seed   uint64
	random *rand.Rand
	began  time.Time
	nodes  []*Host
	links  []*Link
	phases time.Duration // those below have been given out
	stop   *stop

	apps   sync.WaitGroup
	mu     sync.Mutex // of errs, phases, and what workloads count together
	errs   []error
	closed bool
}

// New returns an empty network. It must be called inside a bubble of package
// synctest, as Run does.
func New(seed uint64) *Net {
	return &Net{seed: seed, random: rand.New(rand.NewPCG(seed, 0x6c61626f7261746f)), began: time.Now(), stop: newStop(context.Background())}
}

// cycle is the time in which each process of the network has one instant of
// its own, its phase. Frames arrive and applications act at these only, so
// that no two of them do so at the same instant: which comes first would be
// chance. Phases are odd, and the timers of TCP fire at even nanoseconds. Half
// of it is a prime, so that delays of round numbers do not lead from one phase
// to another in use.
const cycle = 2 * 2003 * time.Nanosecond

// phase gives out the next phase.
func (n *Net) phase() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phases += 2
	return (n.phases - 1) % cycle
}

// next is the first instant of a phase at t or after.
func next(t time.Time, phase time.Duration) time.Time {
	c := int64(cycle)
	return t.Add(time.Duration(((int64(phase)-t.UnixNano())%c + c) % c))
}

// A Host is a host or a router of a network. Its Stack is there after Start.
type Host struct {
	*gonet.Stack
	Name string

	net     *Net
	cfg     gonet.Config
	sides   []side // by interface
	capture *capture
	ports   uint16
}

// A side is one interface of a host.
type side struct {
	link *Link
	ab   bool // the host is end A of the link
	peer *Host
	addr netip.Addr
}

// Host adds a host whose TCP is configured by cfg.
func (n *Net) Host(name string, cfg tcp.Config) *Host {
	h := &Host{Name: name, net: n, ports: firstPort}
	h.cfg.TCP = cfg
	h.cfg.TCP.TimerGrain = 2
	n.nodes = append(n.nodes, h)
	return h
}

// Router adds a host that forwards.
func (n *Net) Router(name string) *Host {
	h := n.Host(name, tcp.Config{})
	h.cfg.Forward = true
	return h
}

// Addr is the address of the host on its first link.
func (h *Host) Addr() netip.Addr { return h.sides[0].addr }

// A Link joins two hosts.
type Link struct {
	A, B *Host

	// AB and BA are what the queues of either direction do.
	AB, BA *link.Queueing

	cfg       LinkConfig
	addrA     netip.Addr
	addrB     netip.Addr
	cardA     link.Link
	cardB     link.Link
	watchers  [2][]link.Watcher // of AB and BA
	endpoints [2]ethernet.Addr
}

// LinkConfig says what a link is like. The seeds, instants, counters and
// watchers of its impairments are the network's.
type LinkConfig struct {
	AB, BA link.Impairment
	MTU    int // of IP; 0 means link.DefaultMTU

	// AtA changes the card at end A. Nil means that nothing does.
	AtA link.Middleware
}

// Both is a link that does the same to both directions.
func Both(c link.Impairment) LinkConfig { return LinkConfig{AB: c, BA: c} }

// Join adds a link between a and b, and gives both an address on it.
func (n *Net) Join(a, b *Host, cfg LinkConfig) *Link {
	i := len(n.links)
	base := uint32(10<<24 | i<<2)
	l := &Link{A: a, B: b, AB: new(link.Queueing), BA: new(link.Queueing), cfg: cfg, addrA: addr(base + 1), addrB: addr(base + 2)}
	for _, d := range []*link.Impairment{&l.cfg.AB, &l.cfg.BA} {
		d.Seed = n.random.Uint64()
		d.Cycle, d.Phase = cycle, n.phase()
	}
	for j := range l.endpoints {
		l.endpoints[j] = ethernet.Addr{2, 0, 0, byte(i >> 8), byte(i), byte(j + 1)}
	}
	n.links = append(n.links, l)
	a.sides = append(a.sides, side{l, true, b, l.addrA})
	b.sides = append(b.sides, side{l, false, a, l.addrB})
	return l
}

func addr(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// Watch has w see the frames of one direction of l: from A to B, or from B to
// A. It must be called before Start.
func (l *Link) Watch(ab bool, w link.Watcher) {
	i := 0
	if !ab {
		i = 1
	}
	l.watchers[i] = append(l.watchers[i], w)
}

// Start brings all links and stacks up.
func (n *Net) Start() error {
	for _, l := range n.links {
		ab, ba := l.cfg.AB, l.cfg.BA
		ab.Queueing, ba.Queueing = l.AB, l.BA
		ab.Watcher, ba.Watcher = watchers(l.watchers[0]).one(), watchers(l.watchers[1]).one()
		pipe := link.PipeConfig{Name: l.A.Name + "-" + l.B.Name, MTU: l.cfg.MTU, MACs: [2][6]byte{l.endpoints[0], l.endpoints[1]}}
		l.cardA, l.cardB = link.Cable(pipe, ab, ba)
		if l.cfg.AtA != nil {
			l.cardA = l.cfg.AtA(l.cardA)
		}
	}
	for _, h := range n.nodes {
		if err := h.start(); err != nil {
			return fmt.Errorf("sim: %s: %w", h.Name, err)
		}
	}
	return nil
}

func (h *Host) start() (err error) {
	h.cfg.Rand = newStream(h.net.random)
	h.cfg.KeepAlive = -1 // the silence of an experiment is its own
	for _, s := range h.sides {
		card, peer := s.link.cardA, s.link.endpoints[1]
		if !s.ab {
			card, peer = s.link.cardB, s.link.endpoints[0]
		}
		h.cfg.Interfaces = append(h.cfg.Interfaces, gonet.Interface{
			Link: card, Addrs: []netip.Prefix{netip.PrefixFrom(s.addr, 30)},
			Static: map[netip.Addr]ethernet.Addr{s.far(): peer},
		})
	}
	h.cfg.Routes = h.routes()
	h.Stack, err = gonet.New(h.cfg)
	return err
}

// far is the address at the other end of the link.
func (s side) far() netip.Addr {
	if s.ab {
		return s.link.addrB
	}
	return s.link.addrA
}

// routes are the shortest ways to all links that h is not on.
func (h *Host) routes() (routes []gonet.Route) {
	if len(h.sides) == 1 {
		return []gonet.Route{{Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway: h.sides[0].far()}}
	}
	known := map[*Link]bool{}
	seen := map[*Host]bool{h: true}
	type branch struct {
		at  *Host
		out int // the interface of h that leads there
	}
	var queue []branch
	for i, s := range h.sides {
		known[s.link] = true
		if !seen[s.peer] {
			seen[s.peer] = true
			queue = append(queue, branch{s.peer, i})
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		b := queue[0]
		for _, s := range b.at.sides {
			if !known[s.link] {
				known[s.link] = true
				prefix := netip.PrefixFrom(s.addr, 30).Masked()
				routes = append(routes, gonet.Route{Prefix: prefix, Gateway: h.sides[b.out].far(), Interface: b.out})
			}
			if !seen[s.peer] {
				seen[s.peer] = true
				queue = append(queue, branch{s.peer, b.out})
			}
		}
	}
	return routes
}

// Now is how much time has passed since the network was made.
func (n *Net) Now() time.Duration { return time.Since(n.began) }

// tick is how often Wait looks whether it is to stop.
const tick = 100 * time.Millisecond

// Wait lets the network run until the instant at, counted from its making. It
// returns early with an error when one of its processes has failed, or when
// the context of Run is done. When it returns nothing moves until time passes
// again, so that all that was recorded may be looked at. One goroutine may wait
// at a time.
func (n *Net) Wait(at time.Duration) error {
	defer synctest.Wait()
	for {
		if err := errors.Join(n.err(), n.stop.err()); err != nil {
			return err
		}
		left := at - n.Now()
		if left <= 0 {
			return nil
		}
		time.Sleep(min(left, tick))
	}
}

// Fail notes an error of a process; Wait and Run return it.
func (n *Net) Fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.errs = append(n.errs, err)
}

func (n *Net) err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return errors.Join(n.errs...)
}

// Close ends all stacks, waits for all applications, and returns what has
// failed before it was called.
func (n *Net) Close() error {
	if n.closed {
		return nil
	}
	n.closed = true
	err := n.err()
	for _, h := range n.nodes {
		h.capture.end()
	}
	for _, h := range n.nodes {
		if h.Stack != nil {
			h.Stack.Close()
		}
	}
	n.apps.Wait()
	return err
}

// A stop tells a bubble that a context outside of it is done. A channel from
// outside would hold up virtual time.
type stop struct {
	ctx    context.Context
	done   atomic.Bool
	forget func() bool
}

func newStop(ctx context.Context) *stop {
	s := &stop{ctx: ctx}
	s.forget = context.AfterFunc(ctx, func() { s.done.Store(true) })
	return s
}

func (s *stop) err() error {
	if s.done.Load() {
		return s.ctx.Err()
	}
	return nil
}

// watchers are several watchers as one.
type watchers []link.Watcher

func (w watchers) one() link.Watcher {
	switch len(w) {
	case 0:
		return nil
	case 1:
		return w[0]
	}
	return w
}

func (w watchers) Enters(now time.Time, frame []byte) {
	for _, x := range w {
		x.Enters(now, frame)
	}
}

func (w watchers) Arrives(now time.Time, frame []byte) {
	for _, x := range w {
		x.Arrives(now, frame)
	}
}

// newStream is the random bytes of one stack.
func newStream(random *rand.Rand) *rand.ChaCha8 {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(random.Uint32())
	}
	return rand.NewChaCha8(seed)
}

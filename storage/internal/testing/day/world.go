package day

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
)

// A socket is the end of a cable in a wall, to which one machine after another is
// plugged.
type socket struct {
	wall link.Link
	mu   sync.Mutex
	card *card // that is plugged in
}

// A card is the network card of one life of a machine.
type card struct {
	rx  chan *packet.Buffer
	off atomic.Bool // the power: nothing passes
}

// pump carries frames from the cable to the card, until the cable is closed.
func (s *socket) pump() {
	for b := range s.wall.Rx {
		s.mu.Lock()
		if s.card == nil || s.card.off.Load() {
			b.Release()
		} else {
			select {
			case s.card.rx <- b:
			default:
				b.Release()
			}
		}
		s.mu.Unlock()
	}
}

// plug makes a card for the next machine, as a link.
func (s *socket) plug() (*card, link.Link) {
	c := &card{rx: make(chan *packet.Buffer, link.QueueLen)}
	tx := make(chan *packet.Buffer, link.QueueLen)
	go func() {
		for b := range tx {
			if c.off.Load() {
				b.Release()
			} else {
				s.wall.Tx <- b
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.card == c {
			s.card = nil
		}
		close(c.rx)
	}()
	s.mu.Lock()
	s.card = c
	s.mu.Unlock()
	l := s.wall
	l.Rx, l.Tx = c.rx, tx
	return c, l
}

// A world is a client's machine, whose stack lives as long as the world, and a
// server's, whose power comes and goes.
type world struct {
	t      *testing.T
	config Config
	r      *rand.Rand // of the faults
	near   *gonet.Stack
	socket *socket
	stable *block.Memory // what no power cut takes
	models []*model

	machine *machine
	faults  map[string]int

	mu    sync.Mutex
	conns []net.Conn // of the clients
}

// A machine is one life of the server's machine.
type machine struct {
	world  *world
	card   *card
	stack  *gonet.Stack
	power  *filter.Volatile
	disk   *block.Disk
	dead   chan struct{} // closed when the power has gone
	once   sync.Once
	server Server
	served chan struct{}
}

// boot starts the machine with what the last power cut has left.
func (w *world) boot() {
	m := &machine{world: w, dead: make(chan struct{})}
	var l link.Link
	m.card, l = w.socket.plug()
	m.stack = newStack(w.t, l, "10.0.0.2/24", byte(w.r.Uint32()))
	var err error
	if m.power, err = filter.NewVolatile(w.stable); err != nil {
		w.t.Fatal(err)
	}
	if m.disk, err = filter.Observe(disk{m.power}, watch{m}); err != nil {
		w.t.Fatal(err)
	}
	w.machine = m
	m.serve()
}

// serve starts the server's process.
func (m *machine) serve() {
	l, err := m.stack.Listen("tcp", m.world.config.Port)
	if err != nil {
		m.world.t.Fatal(err)
	}
	server, served := m.world.config.Serve(m.world.t, m.disk), make(chan struct{})
	m.server, m.served = server, served
	go func() { defer close(served); server.Serve(l) }()
}

// halt is the power cut: frames stop first, then the models know, then the disk loses
// what was volatile.
func (m *machine) halt() {
	m.once.Do(func() {
		m.card.off.Store(true)
		for _, model := range m.world.models {
			model.cut()
		}
		close(m.dead)
	})
}

// bury waits until nothing of the machine is left.
func (m *machine) bury() {
	m.server.Close()
	<-m.served
	go m.stack.Close() // which tries to tell its peers for a while
}

// A disk takes CACHE.
type disk struct{ *filter.Volatile }

func (d disk) Info() block.Info {
	i := d.Volatile.Info()
	i.Prefetch = true
	return i
}

func (d disk) Prefetch(off, length int64) error { return nil }

// watch makes some calls slow, and sees that nobody hears from a machine without
// power.
type watch struct{ m *machine }

func (d watch) Before(ctx context.Context, op filter.Op) error {
	if op.Off%7 == 3 || op.Kind == filter.Sync {
		time.Sleep(time.Millisecond)
	}
	return nil
}

func (d watch) After(ctx context.Context, op filter.Op, took time.Duration, err error) {
	if errors.Is(err, block.ErrClosed) {
		d.m.halt()
		<-ctx.Done()
	}
}

// newStack is a stack over l.
func newStack(t testing.TB, l link.Link, addr string, seed byte) *gonet.Stack {
	t.Helper()
	s, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix(addr), Rand: rand.NewChaCha8([32]byte{seed})})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dial is how clients connect.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := w.near.DialContext(ctx, network, address)
	if err == nil {
		w.mu.Lock()
		w.conns = append(w.conns, c)
		w.mu.Unlock()
	}
	return c, err
}

// A fault is what befalls the world.
type fault struct {
	name string
	do   func(w *world)
}

func faults() []fault {
	return []fault{
		{"connections reset", func(w *world) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, c := range w.conns {
				if c, ok := c.(interface{ SetLinger(sec int) error }); ok {
					c.SetLinger(0)
				}
				c.Close()
			}
			w.conns = nil
		}},
		{"server shut down", func(w *world) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(w.r.IntN(3000))*time.Millisecond)
			defer cancel()
			w.machine.server.Shutdown(ctx)
			<-w.machine.served
			w.pause(5 * time.Second)
			w.machine.serve()
		}},
		{"server killed", func(w *world) {
			w.machine.server.Close()
			<-w.machine.served
			w.pause(5 * time.Second)
			w.machine.serve()
		}},
		{"power cut", func(w *world) {
			w.machine.halt()
			w.cut()
		}},
		{"power cut in a write", func(w *world) {
			w.machine.power.CutAfter(1+w.r.IntN(10), w.r.Uint64())
			select {
			case <-w.machine.dead:
			case <-time.After(time.Minute):
				w.machine.halt()
			}
			w.cut()
		}},
		{"cable out", func(w *world) {
			w.machine.card.off.Store(true)
			w.pause(20 * time.Second)
			w.machine.card.off.Store(false)
		}},
	}
}

// cut takes from the disk what a power cut takes, and boots the next life.
func (w *world) cut() {
	if err := w.machine.power.Cut(w.r.Uint64()); err != nil {
		w.t.Error(err)
	}
	w.machine.bury()
	w.pause(10 * time.Second)
	w.boot()
}

func (w *world) pause(most time.Duration) { time.Sleep(time.Duration(w.r.Int64N(int64(most)))) }

// trouble has faults befall the world until done is closed.
func (w *world) trouble(mean time.Duration, done <-chan struct{}) {
	all := faults()
	for {
		wait := time.Duration(w.r.ExpFloat64() * float64(mean))
		if w.r.IntN(8) == 0 {
			wait = time.Duration(w.r.IntN(200)) * time.Millisecond // one after another
		}
		select {
		case <-done:
			return
		case <-time.After(wait):
		}
		f := all[w.r.IntN(len(all))]
		w.faults[f.name]++
		f.do(w)
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/load"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/service"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// idle is n connections that are open and do nothing, and a goroutine of the
// server's for each: how fast they come, what each costs, how long a request
// takes on a random one of them while all are open, whether each still answers,
// and how fast they go.
//
// What counts as memory is what the server's process has got from the kernel.
// Sockets of the kernel are in none: for them there is what the kernel's
// memory has grown by, the clients' ends and, of a server on the kernel's
// sockets, its ends too.
func idle(i idleNumber) work {
	n := i.n
	w := work{name: result.IdleWork(n), once: true}
	w.fits = func(s subject.Subject) bool { return holdsMany(s) && (i.only == nil || slices.Contains(i.only, s.Key)) }
	w.limit = time.Duration(n) * time.Millisecond // to open and to close them
	w.measure = func(ctx context.Context, at *site) ([]result.Figure, error) {
		h, err := at.hold(ctx, n)
		if err != nil {
			return nil, err
		}
		figures, err := h.open(ctx)
		if err != nil {
			return nil, err
		}
		for _, phase := range []func(context.Context) ([]result.Figure, error){h.askSome, h.askEach, h.close} {
			more, err := phase(ctx)
			if err != nil {
				return figures, err
			}
			figures = append(figures, more...)
		}
		return figures, nil
	}
	return w
}

// holdsMany says which subjects can hold many connections. gVisor's PacketMMap
// cannot: its ring has 32 frames, and loses most of a burst of SYNs or FINs.
func holdsMany(s subject.Subject) bool { return hasSockets(s) && s.Key != "gvisor-mmap" }

// A holding is a server and clients that hold connections.
type holding struct {
	n       float64
	settle  time.Duration // until open connections are idle ones
	server  *agent.Process
	clients []*agent.Process
}

// perClient is how many connections a client holds at most: an ordinary limit of
// open files is 20000.
const perClient = 15000

// leastTime is for how long a client makes requests at least.
const leastTime = 20 * time.Millisecond

// settle is how long connections are given to become idle ones: more than a
// second, unless the command line asks for a measurement that is hardly one.
func (at *site) settle() time.Duration { return min(4*at.duration(), 3*time.Second) }

func (at *site) hold(ctx context.Context, n int) (h holding, err error) {
	h.n, h.settle = float64(n), at.settle()
	h.server, err = at.serve(ctx, agent.Task{Work: service.Echo, Streams: n, CPU: anyCPU})
	if err != nil {
		return h, err
	}
	sources, err := at.addSources(n)
	if err != nil {
		return h, err
	}
	each := max(at.duration()/time.Duration((n+perClient-1)/perClient), leastTime)
	for left := n; left > 0; left -= perClient {
		c, err := at.load(ctx, agent.Task{Work: load.Hold, Streams: min(left, perClient), Sources: sources, CPU: anyCPU, PhaseTime: each})
		if err != nil {
			return h, err
		}
		h.clients = append(h.clients, c)
	}
	return h, nil
}

// open opens all connections.
func (h holding) open(ctx context.Context) ([]result.Figure, error) {
	before, err := h.server.Collect()
	if err != nil {
		return nil, err
	}
	kernelBefore, err := kernelMemory()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for _, c := range h.clients {
		if _, err := c.Next(); err != nil {
			return nil, err
		}
	}
	if err := h.await(ctx, h.n); err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	established, err := h.server.Sample()
	if err != nil {
		return nil, err
	}
	opening := established.Since(before)
	if err := sleep(ctx, h.settle); err != nil {
		return nil, err
	}
	after, err := h.server.Collect()
	if err != nil {
		return nil, err
	}
	kernelAfter, err := kernelMemory()
	grown := after.Since(before)
	return []result.Figure{
		result.Memory.Of(float64(grown.RSS) / h.n), result.Heap.Of(float64(grown.Heap) / h.n),
		result.Kernel.Of((kernelAfter - kernelBefore) / h.n),
		result.Process.Of(float64(after.RSS) / 1e9), result.Peak.Of(float64(after.Peak) / 1e9),
		result.Establish.Of(h.n / took), result.EstablishTime.Of(took),
		result.EstablishUser.Of(opening.User.Seconds() * 1e6 / h.n),
		result.EstablishSystem.Of((opening.CPU - opening.User).Seconds() * 1e6 / h.n),
	}, err
}

// askSome has requests made, one at a time, on connections chosen at random: by
// each client in turn, for its part of the time.
func (h holding) askSome(context.Context) ([]result.Figure, error) {
	all := agent.Sample{Latency: make(agent.Counts)}
	for _, c := range h.clients {
		s, err := c.Next()
		if err != nil {
			return nil, err
		}
		all.Latency.Add(s.Latency)
	}
	return []result.Figure{quantile(result.P50, all, 0.5), quantile(result.P99, all, 0.99), quantile(result.P999, all, 0.999)}, nil
}

// askEach has a request made on each connection. That one is not answered is an
// error.
func (h holding) askEach(context.Context) ([]result.Figure, error) {
	answers := uint64(0)
	for _, c := range h.clients {
		s, err := c.Next()
		if err != nil {
			return nil, err
		}
		answers += s.Requests
	}
	return []result.Figure{result.Answering.Of(float64(answers))}, nil
}

// close closes all connections.
func (h holding) close(ctx context.Context) ([]result.Figure, error) {
	start := time.Now()
	for _, c := range h.clients {
		if _, err := c.Close(); err != nil {
			return nil, err
		}
	}
	if err := h.await(ctx, 0); err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	return []result.Figure{result.Closing.Of(h.n / took), result.CloseTime.Of(took)}, nil
}

// await waits until the server has so many connections.
func (h holding) await(ctx context.Context, n float64) error {
	for {
		s, err := h.server.Sample()
		if err != nil {
			return err
		}
		if s.Open == int64(n) {
			return nil
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("the server has %d connections of %v: %w", s.Open, n, err)
		}
	}
}

// kernelMemory is the bytes that the kernel has taken for itself, from its slabs
// (proc(5), meminfo).
func kernelMemory() (float64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`Slab:\s+([0-9]+) kB`).FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("/proc/meminfo says nothing of slabs")
	}
	kilobytes, err := strconv.ParseFloat(string(m[1]), 64)
	return kilobytes * 1024, err
}

func idleWorks(o *options) (all []work) {
	for _, n := range o.idle {
		all = append(all, idle(n))
	}
	return all
}

package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
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
// takes on a random one of them while all are open, and how fast they go.
//
// What counts as memory is what the server's process has got from the kernel.
// Sockets of the kernel are in none: for them there is what the kernel's
// memory has grown by, the clients' ends and, of a server on the kernel's
// sockets, its ends too.
func idle(n int) work {
	w := work{name: fmt.Sprintf("%s idle connections", result.Number(float64(n))), fits: holdsMany, once: true}
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
		if _, err := h.clients[0].Next(); err != nil { // requests, one after the other
			return nil, err
		}
		w, err := at.watch(ctx, h.server, h.clients[0])
		if err != nil {
			return nil, err
		}
		latency, err := w.latency()
		if err != nil {
			return nil, err
		}
		closing, err := h.close(ctx)
		return append(append(figures, latency[:3]...), closing), err
	}
	return w
}

// holdsMany says which subjects can hold many connections. gVisor's PacketMMap
// cannot: its ring has 32 frames, and loses most of a burst of SYNs or FINs.
func holdsMany(s subject.Subject) bool { return hasSockets(s) && s.Key != "gvisor-mmap" }

// A holding is a server and clients that hold connections.
type holding struct {
	n       float64
	server  *agent.Process
	clients []*agent.Process
}

// perClient is how many connections a client holds at most: an ordinary limit of
// open files is 20000.
const perClient = 15000

func (at *site) hold(ctx context.Context, n int) (h holding, err error) {
	h.n = float64(n)
	h.server, err = at.serve(ctx, agent.Task{Work: service.Echo, Streams: n, CPU: anyCPU})
	if err != nil {
		return h, err
	}
	sources, err := at.addSources(n)
	if err != nil {
		return h, err
	}
	for left := n; left > 0; left -= perClient {
		c, err := at.load(ctx, agent.Task{Work: load.Hold, Streams: min(left, perClient), Sources: sources, CPU: anyCPU})
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
	after, err := h.server.Collect()
	if err != nil {
		return nil, err
	}
	kernelAfter, err := kernelMemory()
	grown := after.Since(before)
	return []result.Figure{
		result.Memory.Of(float64(grown.RSS) / h.n), result.Heap.Of(float64(grown.Heap) / h.n),
		result.Kernel.Of((kernelAfter - kernelBefore) / h.n), result.Establish.Of(h.n / took),
	}, err
}

// close closes all connections.
func (h holding) close(ctx context.Context) (result.Figure, error) {
	start := time.Now()
	for _, c := range h.clients {
		if _, err := c.Close(); err != nil {
			return result.Figure{}, err
		}
	}
	err := h.await(ctx, 0)
	return result.Closing.Of(h.n / time.Since(start).Seconds()), err
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

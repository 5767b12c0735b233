package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// hops is packets that pass the processes of the graph in memory: an echo request
// comes in, and its reply goes out.
func hops(name, serve string, cpu int) work {
	w := work{name: name, fits: does(serve)}
	w.fits = func(s subject.Subject) bool { return s.Start == nil && does(serve)(s) }
	w.measure = func(ctx context.Context, at *site) ([]result.Figure, error) {
		server, err := at.serve(ctx, agent.Task{Work: serve, CPU: cpu})
		if err != nil {
			return nil, err
		}
		w, err := at.watch(ctx, server, nil)
		if err != nil {
			return nil, err
		}
		if w.server.Requests == 0 {
			return nil, errors.New("no packet has come out")
		}
		n := float64(w.server.Requests)
		if counted := float64(w.server.Told.Hops) / n; counted > 0 && math.Abs(counted-subject.Hops) > 0.5 {
			return nil, fmt.Errorf("a packet has made %.1f hops, by the edges of the graph, and not %d", counted, subject.Hops)
		}
		nanoseconds := w.server.At.Seconds() * 1e9 / n
		return []result.Figure{
			result.PerFrame.Of(nanoseconds), result.PerHop.Of(nanoseconds / subject.Hops),
			result.Allocations.Of(float64(w.server.Allocs) / n), result.Switches.Of(float64(w.server.Switches) / n),
			result.Threads.Of(float64(w.server.Threads) / n),
		}, nil
	}
	return w
}

func hopWorks() []work {
	return []work{
		hops("6 hops in memory, busy, one CPU", subject.HopsBusy, 0),
		hops("6 hops in memory, busy", subject.HopsBusy, anyCPU),
		hops("6 hops in memory, a packet at a time, one CPU", subject.HopsIdle, 0),
		hops("6 hops in memory, a packet at a time", subject.HopsIdle, anyCPU),
	}
}

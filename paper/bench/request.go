package main

import (
	"context"
	"errors"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/load"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/service"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// anyCPU is where the scheduler wants it.
const anyCPU = -1

// requests is a byte there and back on each of some streams. With one stream,
// each process is kept on a CPU: left to themselves they are now on one and now
// on two, and waking the other CPU takes longer than all the rest.
func requests(name, serve, client string, streams, serverCPU, clientCPU int) work {
	return work{name: name, fits: does(serve), measure: func(ctx context.Context, at *site) ([]result.Figure, error) {
		w, err := at.pair(ctx, agent.Task{Work: serve, CPU: serverCPU}, agent.Task{Work: client, Streams: streams, CPU: clientCPU})
		if err != nil {
			return nil, err
		}
		figures, err := w.latency()
		if err != nil {
			return nil, err
		}
		n := float64(w.client.Requests)
		figures = append(figures, w.perFrame()...)
		figures = append(figures, result.WakeUps.Of(float64(w.server.Switches)/n))
		return append(figures, at.costs(w, n, result.WorkHops, n, result.WorkCopies)...), nil
	}}
}

// latency is what the client says of its requests.
func (w window) latency() ([]result.Figure, error) {
	if w.client.Requests == 0 {
		return nil, errors.New("not a request was answered")
	}
	n := float64(w.client.Requests)
	figures := []result.Figure{
		quantile(result.P50, w.client, 0.5), quantile(result.P99, w.client, 0.99), quantile(result.P999, w.client, 0.999),
		result.Rate.Of(n / w.client.At.Seconds()),
		result.WorkCPU.Of(w.machine.Seconds() * 1e6 / n),
		result.WorkServer.Of(w.server.CPU.Seconds() * 1e6 / n),
		result.WorkClient.Of(w.client.CPU.Seconds() * 1e6 / n),
	}
	if w.client.Lost > 0 {
		figures = append(figures, result.Lost.Of(float64(w.client.Lost)))
	}
	return figures, nil
}

func quantile(m result.Metric, s agent.Sample, q float64) result.Figure {
	return m.Of(float64(s.Latency.Quantile(q).Nanoseconds()) / 1e3)
}

func requestWorks() (all []work) {
	for _, p := range []struct{ name, serve, client string }{
		{"1 byte over TCP", service.Echo, load.Request}, {"1 byte over UDP", service.UDPEcho, load.UDPRequest},
	} {
		all = append(all,
			requests(p.name+", both on one CPU", p.serve, p.client, 1, 0, 0),
			requests(p.name+", a CPU each", p.serve, p.client, 1, 0, 1),
			requests(p.name+", 64 at a time", p.serve, p.client, 64, anyCPU, anyCPU),
		)
	}
	return all
}

// connects is connections that are made, used for a byte each way, and closed.
func connects(name string, atATime int) work {
	w := requests(name, service.Echo, load.Connect, atATime, anyCPU, anyCPU)
	measure := w.measure
	w.measure = func(ctx context.Context, at *site) ([]result.Figure, error) {
		figures, err := measure(ctx, at)
		return first(result.Rate, figures), err
	}
	w.fits = func(s subject.Subject) bool { return hasSockets(s) || s.Closes }
	return w
}

// first puts the figure of m before the others.
func first(m result.Metric, figures []result.Figure) []result.Figure {
	for i, f := range figures {
		if f.Metric == m {
			copy(figures[1:i+1], figures[:i])
			figures[0] = f
		}
	}
	return figures
}

func connectWorks() []work {
	return []work{connects("connections made and closed, 1 at a time", 1), connects("connections made and closed, 32 at a time", 32)}
}

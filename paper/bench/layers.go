package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/layers"
	"github.com/seed-012105e5/gonet/paper/internal/load"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/service"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// ping is a ping of layers: where the time of a request is spent in the server's
// process, by the trace of the Go runtime, which makes everything somewhat
// slower. A process of the graph is a goroutine, so that each has a line of its
// own. Other stacks do not offer that: gVisor's dispatcher does the work of all
// layers, and waits in system calls that a trace cannot tell from work.
func ping(name, serve, client string) work {
	w := work{name: name}
	w.fits = func(s subject.Subject) bool { return s.IsOurs() && does(serve)(s) }
	w.measure = func(ctx context.Context, at *site) ([]result.Figure, error) {
		dir, err := os.MkdirTemp("", "gonet-bench")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "trace")
		if err := at.trace(ctx, file, serve, client); err != nil {
			return nil, err
		}
		return pingFigures(file)
	}
	return w
}

// trace has a server traced while a client on the same CPU makes requests.
func (at *site) trace(ctx context.Context, file, serve, client string) error {
	server, err := at.serve(ctx, agent.Task{Work: serve, CPU: 0, Trace: file, PhaseTime: min(at.duration(), time.Second)})
	if err != nil {
		return err
	}
	if _, err := at.load(ctx, agent.Task{Work: client, Streams: 1, CPU: 0}); err != nil {
		return err
	}
	if err := sleep(ctx, at.warmUp()); err != nil {
		return err
	}
	_, err = server.Next()
	return err
}

func pingFigures(file string) (figures []result.Figure, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := layers.Read(f)
	if err != nil {
		return nil, err
	}
	if p.Requests == 0 {
		return nil, errors.New("not a request was answered while the trace ran")
	}
	n := float64(p.Requests)
	for _, g := range p.Processes {
		const few = 0.01 // wake-ups a request, of what has nothing to do with requests
		if float64(g.WakeUps) < few*n {
			continue
		}
		figures = append(figures,
			result.Figure{Metric: result.Running, Part: g.Name, Value: g.Running.Seconds() * 1e6 / n},
			result.Figure{Metric: result.Ready, Part: g.Name, Value: g.Ready.Seconds() * 1e6 / n},
			result.Figure{Metric: result.WakeUps, Part: g.Name, Value: float64(g.WakeUps) / n},
		)
	}
	return figures, nil
}

func layerWorks() []work {
	return []work{
		ping("layers of 1 byte over TCP, both on one CPU", service.Echo, load.Request),
		ping("layers of 1 byte over UDP, both on one CPU", service.UDPEcho, load.UDPRequest),
	}
}

package main

import (
	"context"
	"errors"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// deviceCost is what a frame of 1514 bytes costs at the device: one system call.
func deviceCost(name, serve string) work {
	w := work{name: name}
	w.fits = func(s subject.Subject) bool { return s.Start == nil && does(serve)(s) }
	w.measure = func(ctx context.Context, at *site) ([]result.Figure, error) {
		server, err := at.serve(ctx, agent.Task{Work: serve, CPU: 0})
		if err != nil {
			return nil, err
		}
		w, err := at.watch(ctx, server, nil)
		if err == nil && w.server.Requests == 0 {
			err = errors.New("no frame was read or written")
		}
		if err != nil {
			return nil, err
		}
		return []result.Figure{result.PerFrame.Of(float64(w.server.Busy) / float64(w.server.Requests))}, nil
	}
	return w
}

func deviceWorks() []work {
	return []work{deviceCost("read of a frame of 1514 bytes", subject.ReadCost), deviceCost("write of a frame of 1514 bytes", subject.WriteCost)}
}

package main

import (
	"context"
	"errors"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/load"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/service"
)

// bulk is a transfer without end on some streams, to the server or from it. What
// counts is what the receiver's program has got.
func bulk(name, serve, client string, streams int) work {
	return work{name: name, fits: does(serve), measure: func(ctx context.Context, at *site) ([]result.Figure, error) {
		w, err := at.pair(ctx, agent.Task{Work: serve, CPU: -1}, agent.Task{Work: client, Streams: streams, CPU: -1})
		if err != nil {
			return nil, err
		}
		receiver := w.server
		if serve == service.Source {
			receiver = w.client
		}
		if receiver.Bytes == 0 {
			return nil, errors.New("not a byte has come through")
		}
		if w.client.Open != 0 {
			return nil, errors.New("connections have ended")
		}
		gigabytes := float64(receiver.Bytes) / 1e9
		figures := []result.Figure{
			result.Goodput.Of(gigabytes * 8 / receiver.At.Seconds()),
			result.CPUMachine.Of(w.machine.Seconds() / gigabytes),
			result.CPUServer.Of(w.server.CPU.Seconds() / gigabytes),
			result.CPUClient.Of(w.client.CPU.Seconds() / gigabytes),
		}
		return append(figures, w.perFrame()...), nil
	}}
}

// pair starts a server and a client, and watches them.
func (at *site) pair(ctx context.Context, serve, client agent.Task) (window, error) {
	server, err := at.serve(ctx, serve)
	if err != nil {
		return window{}, err
	}
	c, err := at.load(ctx, client)
	if err != nil {
		return window{}, err
	}
	return at.watch(ctx, server, c)
}

func bulkWorks() (all []work) {
	for _, n := range []int{1, 8, 64} {
		all = append(all, bulk(streams("bulk to the server", n), service.Sink, load.Send, n))
	}
	for _, n := range []int{1, 8} {
		all = append(all, bulk(streams("bulk to the server by WriteTo", n), service.Discard, load.Send, n))
	}
	for _, n := range []int{1, 8, 64} {
		all = append(all, bulk(streams("bulk from the server", n), service.Source, load.Receive, n))
	}
	return all
}

package main

import (
	"context"
	"errors"

	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/load"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/service"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// bulk is a transfer without end on some streams, to the server or from it. What
// counts is what the receiver's program has got. A subject with several cables
// gets a stream on each, and does nothing else.
func bulk(name, serve, client string, streams int) work {
	fits := func(s subject.Subject) bool { return does(serve)(s) || s.Cables == streams && serve != service.Discard }
	return work{name: name, fits: fits, measure: func(ctx context.Context, at *site) ([]result.Figure, error) {
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
		figures = append(figures, w.perFrame()...)
		return append(figures, at.costs(w, float64(w.frames), result.Hops, float64(receiver.Bytes), result.Copies)...), nil
	}}
}

// costs is what the stack of the server itself can tell: the hops of hopsFor
// frames or requests each, and, in a build that counts them, the copies for each
// of copiesFor bytes or requests.
func (at *site) costs(w window, hopsFor float64, hops result.Metric, copiesFor float64, copies result.Metric) (figures []result.Figure) {
	if !at.subject.IsOurs() {
		return nil
	}
	figures = append(figures, hops.Of(float64(w.server.Told.Hops)/hopsFor))
	if packet.CountsCopies {
		figures = append(figures, copies.Of(float64(w.server.Told.Copied)/copiesFor))
	}
	return figures
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

//go:build linux

package main

import (
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A wire joins two hosts until it is pulled out.
type wire struct {
	out chan struct{} // closed to pull it out
}

// newWire joins a to b; c is applied at a.
func newWire(a, b link.Link, c link.Impairment) wire {
	w := wire{make(chan struct{})}
	a = link.Impair(a, c)
	go w.carry(a.Rx, b.Tx)
	go w.carry(b.Rx, a.Tx)
	return w
}

// carry brings frames from one end to the other. When the wire has been pulled
// out, or one end is gone, that is the end of the other, and what still comes
// is dropped.
func (w wire) carry(from <-chan *packet.Buffer, to chan<- *packet.Buffer) {
	for open := true; open; {
		select {
		case b, ok := <-from:
			if open = ok; ok {
				to <- b
			}
		case <-w.out:
			open = false
		}
	}
	close(to)
	for b := range from {
		b.Release()
	}
}

func (w wire) pullOut() { close(w.out) }

// stamp is l, with the frames to it arriving when they get there: what
// link.Impair does for those that are received from a link.
func stamp(l link.Link) link.Link {
	in, inner := make(chan *packet.Buffer), l.Tx
	go func() {
		defer close(inner)
		for b := range in {
			b.Arrived = time.Now()
			inner <- b
		}
	}()
	l.Tx = in
	return l
}

package arp

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ethernet"
)

// A Neighbour is an entry of the cache, as a user sees it.
type Neighbour struct {
	Addr  netip.Addr
	MAC   ethernet.Addr // zero while State is "incomplete" or "failed"
	State string        // "incomplete", "reachable", "polling", "failed" or "static"
	Age   time.Duration // since the last packet from it; 0 where there has been none
}

// Neighbours asks a Resolver for its cache. Its methods may be called by any number
// of goroutines.
type Neighbours struct {
	snapshots edge.Out[chan<- []Neighbour]
	ended     <-chan struct{}
}

// NewNeighbours returns the Neighbours of the Resolver that serves snapshots; ended
// is closed when that has returned.
func NewNeighbours(snapshots edge.Out[chan<- []Neighbour], ended <-chan struct{}) *Neighbours {
	return &Neighbours{snapshots, ended}
}

// List returns the cache, in no order. It waits for the Resolver, which may itself
// wait for a card that takes no frames, until ctx is done. The error is that of ctx,
// net.ErrClosed, or ENOBUFS when as many have asked already as its edge holds.
func (n *Neighbours) List(ctx context.Context) ([]Neighbour, error) {
	answer := make(chan []Neighbour, 1)
	select {
	case <-n.ended:
		return nil, net.ErrClosed
	default:
	}
	if !n.snapshots.Try(answer) {
		return nil, syscall.ENOBUFS
	}
	select {
	case list := <-answer:
		return list, nil
	case <-n.ended:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

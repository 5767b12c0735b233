package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/seed-012105e5/gonet/storage/iscsi"
)

// portals are where a server is reached. Its methods are called by one goroutine at a
// time.
type portals struct {
	server *iscsi.Server
	listen func(ctx context.Context, address string) (net.Listener, error)
	open   map[string]*portal // by address, as it was written
	failed chan error         // why one has ended by itself
}

// A portal is one that is listened at.
type portal struct {
	group    uint16
	listener net.Listener
	closing  chan struct{} // closed by who closes it
	ended    chan struct{}
}

func newPortals(server *iscsi.Server, listen func(context.Context, string) (net.Listener, error)) *portals {
	return &portals{server: server, listen: listen, open: map[string]*portal{}, failed: make(chan error, 1)}
}

// apply listens at the addresses that are wanted, each with its group, and at no other.
func (p *portals) apply(ctx context.Context, want map[string]uint16) error {
	for address, o := range p.open {
		if want[address] != o.group {
			o.close()
			delete(p.open, address)
		}
	}
	var errs []error
	for _, address := range slices.Sorted(maps.Keys(want)) {
		if p.open[address] != nil {
			continue
		}
		l, err := p.listen(ctx, address)
		if err != nil {
			errs = append(errs, fmt.Errorf("portal %s: %w", address, err))
			continue
		}
		p.open[address] = p.serve(l, want[address])
	}
	return errors.Join(errs...)
}

func (p *portals) serve(l net.Listener, group uint16) *portal {
	o := &portal{group: group, listener: l, closing: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(o.ended)
		err := p.server.ServePortal(l, iscsi.Portal{Group: group})
		select {
		case <-o.closing:
			return
		default:
		}
		if errors.Is(err, iscsi.ErrServerClosed) {
			return
		}
		select {
		case p.failed <- fmt.Errorf("portal %v: %w", l.Addr(), err):
		default: // there is a reason to end already
		}
	}()
	return o
}

// close takes no more connections; sessions go on.
func (o *portal) close() {
	close(o.closing)
	o.listener.Close()
	<-o.ended
}

func (p *portals) close() {
	for _, o := range p.open {
		o.close()
	}
	clear(p.open)
}

// place is an address by which targets of these portal groups are reached; nil if there
// is none. No groups are all.
func (p *portals) place(groups []uint16) net.Addr {
	for _, address := range slices.Sorted(maps.Keys(p.open)) {
		if o := p.open[address]; len(groups) == 0 || slices.Contains(groups, o.group) {
			return o.listener.Addr()
		}
	}
	return nil
}

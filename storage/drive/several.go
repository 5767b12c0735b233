package drive

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
)

// Several is a Backend of several, which show the same medium at the same time. They insert
// and eject in their order: if one fails to insert, those before it eject again, and if one
// does not let the medium go, those before it insert it again; so those with locks come
// first. When a machine ejects from one, all eject.
func Several(backends ...Backend) Backend {
	b := &several{backends: backends, turn: make(chan struct{}, 1)}
	return b
}

type several struct {
	backends []Backend
	turn     chan struct{} // held by who calls the backends, and reads what is below
	medium   Medium
	has      int // so many of the backends, from the first, have the medium
}

func (b *several) Insert(ctx context.Context, m Medium) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.medium = m
	var told atomic.Bool
	b.medium.Ejected = func() {
		if told.CompareAndSwap(false, true) {
			go func() { // Ejected does not wait
				b.Eject(context.Background(), true)
				m.Ejected()
			}()
		}
	}
	return b.insert(ctx, len(b.backends))
}

// insert inserts into the first n of the backends, or none.
func (b *several) insert(ctx context.Context, n int) error {
	for ; b.has < n; b.has++ {
		if err := b.backends[b.has].Insert(ctx, b.medium); err != nil {
			return errors.Join(err, b.eject(context.WithoutCancel(ctx), true))
		}
	}
	return nil
}

func (b *several) Eject(ctx context.Context, force bool) error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	return b.eject(ctx, force)
}

func (b *several) eject(ctx context.Context, force bool) error {
	n := b.has
	for i, back := range b.backends[:n] {
		err := back.Eject(ctx, force)
		if err == nil {
			continue
		}
		if force {
			return err
		}
		for _, before := range slices.Backward(b.backends[:i]) {
			if e := before.Insert(ctx, b.medium); e != nil {
				err = errors.Join(err, e)
			}
		}
		return err
	}
	b.has = 0
	return nil
}

func (b *several) Close() error {
	var all []error
	for _, back := range b.backends {
		all = append(all, back.Close())
	}
	return errors.Join(all...)
}

// Probe asks all that can be asked.
func (b *several) Probe(ctx context.Context) error {
	for _, back := range b.backends {
		if p, ok := back.(Prober); ok {
			if err := p.Probe(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Resume has each resume; if one says that the medium was ejected, no other has it either.
func (b *several) Resume(ctx context.Context, connected bool) bool {
	resume := func() {
		for _, back := range b.backends {
			if r, ok := back.(Resumer); ok {
				connected = r.Resume(ctx, connected) && connected
			}
		}
	}
	was := connected
	if resume(); was && !connected {
		resume()
	}
	return connected
}

package overlay

import (
	"context"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/rangelock"
)

// WriteAt is WriteAtContext without a context and without FUA.
func (o *Overlay) WriteAt(p []byte, off int64) (int, error) {
	return o.WriteAtContext(context.Background(), p, off, false)
}

// WriteAtFUA is WriteAtContext without a context and with FUA.
func (o *Overlay) WriteAtFUA(p []byte, off int64) (int, error) {
	return o.WriteAtContext(context.Background(), p, off, true)
}

// WriteAtContext writes p to the store. Clusters that it fills in part, and that are
// not there yet, are copied to it.
func (o *Overlay) WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (n int, err error) {
	first, end := o.clusters(off, int64(len(p)))
	r, present, err := o.enterWrite(ctx, first, end)
	if err != nil {
		return 0, err
	}
	direct := fua && present && o.table.isDurable(first, end)
	if present {
		n, err = o.store.WriteAtContext(ctx, p, o.at(off), direct)
	} else {
		n, err = o.writeNew(ctx, p, off)
	}
	o.ranges.Leave(r)
	if err == nil && fua && !direct {
		err = o.SyncContext(ctx)
	}
	return n, err
}

// enterWrite waits until the clusters may be written: together with others if they
// are all in the store, alone otherwise.
func (o *Overlay) enterWrite(ctx context.Context, first, end int64) (r *rangelock.Range, present bool, err error) {
	isPresent := func() bool {
		s, n := o.table.run(first, end-first)
		return s == inStore && n == end-first
	}
	if isPresent() {
		if r, err = o.enter(ctx, first, end, false); err != nil {
			return nil, false, err
		}
		if isPresent() {
			return r, true, nil
		}
		o.ranges.Leave(r) // a Discard was before us
	}
	if r, err = o.enter(ctx, first, end, true); err != nil {
		return nil, false, err
	}
	return r, isPresent(), nil
}

// writeNew writes where not all clusters are in the store. The caller is alone.
func (o *Overlay) writeNew(ctx context.Context, p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		first, end := o.clusters(at, int64(len(p)-n))
		s, count := o.table.run(first, end-first)
		length := min(int64(len(p)-n), (first+count)*o.header.cluster-at)
		if s != inStore {
			length = o.withoutCopy(at, length)
		}
		if length > 0 {
			_, err = o.store.WriteAtContext(ctx, p[n:n+int(length)], o.at(at), false)
		} else {
			length = min(int64(len(p)-n), o.end(first+1)-at)
			err = o.copyAndWrite(ctx, p[n:n+int(length)], at, s)
		}
		if err != nil {
			return n, err
		}
		if s != inStore {
			o.table.set(first, (at+length+o.header.cluster-1)/o.header.cluster, inStore)
		}
		n += int(length)
	}
	return n, nil
}

// withoutCopy is how much of a range, from its beginning, fills whole clusters.
func (o *Overlay) withoutCopy(off, length int64) int64 {
	if off%o.header.cluster != 0 {
		return 0
	}
	if off+length == o.header.size {
		return length
	}
	return length / o.header.cluster * o.header.cluster
}

// copyAndWrite writes a whole cluster: p at off, and around it what there was, nil
// meaning zeroes in state zero.
func (o *Overlay) copyAndWrite(ctx context.Context, p []byte, off int64, s state) error {
	b := o.buffers.Get().(*[]byte)
	defer o.buffers.Put(b)
	start := off / o.header.cluster * o.header.cluster
	all := (*b)[:o.end(start/o.header.cluster+1)-start]
	if s == zero {
		clear(all)
	} else if _, err := o.base.ReadAtContext(ctx, all, start); err != nil {
		return err
	}
	copy(all[off-start:], p)
	_, err := o.store.WriteAtContext(ctx, all, o.at(start), false)
	return err
}

// Trim is TrimContext without a context.
func (o *Overlay) Trim(off, length int64) error {
	return o.TrimContext(context.Background(), off, length)
}

// TrimContext gives back the room of whole clusters, which then are zeroes. What is
// in the base stays.
func (o *Overlay) TrimContext(ctx context.Context, off, length int64) error {
	first, end := o.whole(off, length)
	if first >= end {
		return nil
	}
	r, err := o.enter(ctx, first, end, true)
	if err != nil {
		return err
	}
	defer o.ranges.Leave(r)
	return o.eachRun(first*o.header.cluster, o.end(end)-first*o.header.cluster, func(s state, off, length int64) error {
		if s != inStore {
			return nil
		}
		return o.makeZero(ctx, off, length)
	})
}

// whole are the clusters that lie in the range.
func (o *Overlay) whole(off, length int64) (first, end int64) {
	first, end = (off+o.header.cluster-1)/o.header.cluster, (off+length)/o.header.cluster
	if off+length == o.header.size {
		end = o.header.clusters()
	}
	return first, end
}

// makeZero makes whole clusters zeroes and gives back their room. The caller is
// alone. That the room may be given back before the table is durable is right: until
// the next Sync it does not matter whether there are zeroes or what there was.
func (o *Overlay) makeZero(ctx context.Context, off, length int64) error {
	first, end := o.clusters(off, length)
	o.table.set(first, end, zero)
	return o.store.TrimContext(ctx, o.at(off), length)
}

// WriteZeroes is WriteZeroesContext without a context.
func (o *Overlay) WriteZeroes(off, length int64, flags block.ZeroFlags) error {
	return o.WriteZeroesContext(context.Background(), off, length, flags)
}

// WriteZeroesContext notes of whole clusters that they are zeroes. With ZeroNoHole,
// and of parts of clusters, it has the store write them.
func (o *Overlay) WriteZeroesContext(ctx context.Context, off, length int64, flags block.ZeroFlags) error {
	if length == 0 {
		return nil
	}
	first, end := o.clusters(off, length)
	r, err := o.enter(ctx, first, end, true)
	if err != nil {
		return err
	}
	err = o.zero(ctx, off, length, flags)
	o.ranges.Leave(r)
	if err == nil && flags&block.ZeroFUA != 0 {
		err = o.SyncContext(ctx)
	}
	return err
}

func (o *Overlay) zero(ctx context.Context, off, length int64, flags block.ZeroFlags) error {
	first, end := o.whole(off, length)
	lo, hi := first*o.header.cluster, o.end(end)
	if first >= end {
		return o.zeroParts(ctx, off, length)
	}
	if flags&block.ZeroNoHole != 0 {
		// First, so that what is refused has changed nothing.
		if err := o.store.WriteZeroesContext(ctx, o.at(lo), hi-lo, flags&^block.ZeroFUA); err != nil {
			return err
		}
		o.table.set(first, end, inStore)
	} else if err := o.eachRun(lo, hi-lo, func(s state, off, length int64) error {
		switch s {
		case inStore:
			return o.makeZero(ctx, off, length)
		case inBase:
			o.table.set(off/o.header.cluster, (off+length+o.header.cluster-1)/o.header.cluster, zero)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := o.zeroParts(ctx, off, lo-off); err != nil {
		return err
	}
	return o.zeroParts(ctx, hi, off+length-hi)
}

// zeroParts writes zeroes to parts of clusters.
func (o *Overlay) zeroParts(ctx context.Context, off, length int64) error {
	for stop := off + length; off < stop; {
		i := off / o.header.cluster
		n := min(stop, o.end(i+1)) - off
		var err error
		switch s, _ := o.table.run(i, 1); s {
		case inStore:
			err = o.store.WriteZeroesContext(ctx, o.at(off), n, 0)
		case inBase:
			if err = o.copyAndWrite(ctx, make([]byte, n), off, inBase); err == nil {
				o.table.set(i, i+1, inStore)
			}
		}
		if err != nil {
			return err
		}
		off += n
	}
	return nil
}

package overlay

import (
	"context"
	"fmt"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Sync is SyncContext without a context.
func (o *Overlay) Sync() error { return o.SyncContext(context.Background()) }

// SyncContext makes all that was written before durable: first the data, then the
// pages of the table that name it. A page is taken as it is before the data is made
// durable, so it names none that was written later.
func (o *Overlay) SyncContext(ctx context.Context) error {
	if err := o.broken.Load(); err != nil {
		return *err
	}
	if err := o.lockTable(ctx); err != nil {
		return err
	}
	defer o.unlockTable()
	pages := o.table.take()
	err := o.savePages(ctx, pages)
	o.table.saved(err)
	return err
}

// lockTable waits until nobody writes the table, or the header, to the store.
func (o *Overlay) lockTable(ctx context.Context) error {
	select {
	case o.saving <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *Overlay) unlockTable() { <-o.saving }

func (o *Overlay) savePages(ctx context.Context, pages []page) error {
	if err := o.store.SyncContext(ctx); err != nil || len(pages) == 0 {
		return err
	}
	for _, p := range pages {
		if _, err := o.store.WriteAtContext(ctx, p.bytes, tableStart+p.number*pageSize, false); err != nil {
			return err
		}
	}
	return o.store.SyncContext(ctx)
}

// Discard forgets all that was written: the disk is as the base again. Nobody may
// take it back once it has begun, even if it fails or the power goes: then it is
// finished when the overlay is opened the next time.
func (o *Overlay) Discard(ctx context.Context) error {
	if o.store.ReadOnly() {
		return block.ErrReadOnly
	}
	r, err := o.enter(ctx, 0, o.header.clusters()+1, true)
	if err != nil {
		return err
	}
	defer o.ranges.Leave(r)
	return o.discard(ctx)
}

// discard is Discard where nobody else is at work.
func (o *Overlay) discard(ctx context.Context) error {
	if err := o.lockTable(ctx); err != nil {
		return err
	}
	defer o.unlockTable()
	o.header.flags |= flagDiscarding
	err := o.writeHeader(ctx)
	if err == nil {
		err = o.finishDiscard(ctx)
	}
	if err != nil {
		// What were written now, that the next Open would throw away.
		err = fmt.Errorf("overlay: a discard has failed, open the overlay anew: %w", err)
		o.broken.Store(&err)
	}
	return err
}

// finishDiscard clears the table, of which the header says that it is void.
func (o *Overlay) finishDiscard(ctx context.Context) error {
	if err := o.store.WriteZeroesContext(ctx, tableStart, o.header.tableSize(), 0); err != nil {
		return err
	}
	if err := o.store.SyncContext(ctx); err != nil {
		return err
	}
	o.header.flags &^= flagDiscarding
	if err := o.writeHeader(ctx); err != nil {
		return err
	}
	o.table.clear()
	return o.store.TrimContext(ctx, o.header.dataStart(), o.header.size)
}

// Commit writes all changes to the base, makes them durable there, and discards
// them here. Calls on the overlay wait meanwhile. If it fails or the power goes, the
// overlay still has all of them, and Commit can be called again; the base may then
// have some of them. Progress, if it is not nil, is told how many bytes of the disk
// are done.
func (o *Overlay) Commit(ctx context.Context, progress func(done, size int64)) error {
	if o.base.ReadOnly() || o.store.ReadOnly() {
		return block.ErrReadOnly
	}
	r, err := o.enter(ctx, 0, o.header.clusters()+1, true)
	if err != nil {
		return err
	}
	defer o.ranges.Leave(r)
	if err := o.eachRun(0, o.header.size, func(s state, off, length int64) error {
		err := o.commitRun(ctx, s, off, length)
		if err == nil && progress != nil {
			progress(off+length, o.header.size)
		}
		return err
	}); err != nil {
		return err
	}
	if err := o.base.SyncContext(ctx); err != nil {
		return err
	}
	return o.discard(ctx)
}

// commitRun brings a range in one state to the base.
func (o *Overlay) commitRun(ctx context.Context, s state, off, length int64) error {
	switch s {
	case zero:
		return o.base.WriteZeroesContext(ctx, off, length, 0)
	case inStore:
		b := o.buffers.Get().(*[]byte)
		defer o.buffers.Put(b)
		for stop := off + length; off < stop; {
			p := (*b)[:min(stop-off, int64(len(*b)))]
			if _, err := o.store.ReadAtContext(ctx, p, o.at(off)); err != nil {
				return err
			}
			if _, err := o.base.WriteAtContext(ctx, p, off, false); err != nil {
				return err
			}
			off += int64(len(p))
		}
	}
	return nil
}

package block

import (
	"context"
	"errors"
	"fmt"
)

// WriteZeroes is WriteZeroesContext without a context.
func (d *Disk) WriteZeroes(off, length int64, flags ZeroFlags) error {
	return d.WriteZeroesContext(context.Background(), off, length, flags)
}

// WriteZeroesContext makes the range read as zeroes, as flags say.
func (d *Disk) WriteZeroesContext(ctx context.Context, off, length int64, flags ZeroFlags) error {
	if err := d.checkWrite(off, length); err != nil || length == 0 {
		return err
	}
	mask := int64(d.blockSize()) - 1
	if mask > 0 {
		s, err := d.enter(ctx, off, length)
		if err != nil {
			return err
		}
		defer d.writes.Leave(s)
	}
	// The device takes the whole blocks, lo up to hi, and first: what it refuses has
	// changed nothing.
	lo, hi := (off+mask)&^mask, (off+length)&^mask
	err := error(ErrNotSupported)
	if lo < hi {
		err = d.zeroNative(ctx, lo, hi-lo, flags)
	}
	if errors.Is(err, ErrNotSupported) && flags&ZeroFast == 0 {
		lo, hi, err = off, off, nil // all as data
	}
	if err != nil {
		return err
	}
	fua := flags&ZeroFUA != 0
	if lo > off {
		if err := d.writeZeroData(ctx, off, lo-off); err != nil {
			return err
		}
	}
	if err := d.writeZeroData(ctx, hi, off+length-hi); err != nil {
		return err
	}
	if fua && hi-lo < length {
		return d.SyncContext(ctx)
	}
	return nil
}

// zeroNative has the device make the zeroes.
func (d *Disk) zeroNative(ctx context.Context, off, length int64, flags ZeroFlags) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := error(ErrNotSupported)
	if d.ctxZero != nil {
		err = d.ctxZero.WriteZeroesContext(ctx, off, length, flags)
	}
	if d.zero != nil && errors.Is(err, ErrNotSupported) {
		err = d.zero.WriteZeroes(off, length, flags)
	}
	return err
}

// writeZeroData writes zeroes, some at a time. The caller has entered.
func (d *Disk) writeZeroData(ctx context.Context, off, length int64) error {
	if length <= 0 {
		return nil
	}
	b := d.bounce()
	defer d.bounces.Put(b)
	clear(b.bytes)
	for length > 0 {
		p := b.bytes[:min(length, int64(len(b.bytes)))]
		n := d.direct(p, off)
		var err error
		if n > 0 {
			_, err = d.write(ctx, p[:n], off, false)
		} else {
			n, err = d.writeBounced(ctx, p, off, false)
		}
		if err != nil {
			return err
		}
		off, length = off+int64(n), length-int64(n)
	}
	return nil
}

// Extents is ExtentsContext without a context.
func (d *Disk) Extents(off, length int64, yield func(Extent) bool) error {
	return d.ExtentsContext(context.Background(), off, length, yield)
}

// ExtentsContext calls yield with adjacent, ascending extents that cover the range
// exactly, neighbours of different kinds, until yield returns false. A device that
// cannot tell has one extent, of data.
func (d *Disk) ExtentsContext(ctx context.Context, off, length int64, yield func(Extent) bool) error {
	if err := d.check(off, length); err != nil || length == 0 {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m := d.merger(off, length, yield)
	defer d.mergers.Put(m)
	err := error(ErrNotSupported)
	if d.ctxExtents != nil {
		err = d.ctxExtents.ExtentsContext(ctx, off, length, m.take)
	}
	if d.extents != nil && m.at == off && errors.Is(err, ErrNotSupported) {
		err = d.extents.Extents(off, length, m.take)
	}
	if m.err != nil {
		return m.err
	}
	if err != nil && !errors.Is(err, ErrNotSupported) {
		return err
	}
	m.finish()
	return nil
}

// An extentMerger joins neighbours of one kind, and holds a device to the contract:
// extents that overlap or leave gaps are an error, what is missing at the end is
// data.
type extentMerger struct {
	at, end int64 // what comes next, and the end of the range
	held    Extent
	yield   func(Extent) bool
	stopped bool
	err     error
	take    func(Extent) bool // add, made once
}

// merger returns one for the range.
func (d *Disk) merger(off, length int64, yield func(Extent) bool) *extentMerger {
	m, ok := d.mergers.Get().(*extentMerger)
	if !ok {
		m = &extentMerger{}
		m.take = m.add
	}
	*m = extentMerger{at: off, end: off + length, yield: yield, take: m.take}
	return m
}

func (m *extentMerger) add(e Extent) bool {
	if m.stopped {
		return false
	}
	if e.Off != m.at || e.Length <= 0 || e.Length > m.end-m.at {
		m.err = fmt.Errorf("block: the device tells of an extent of %d bytes at %d, where one at %d of at most %d was due", e.Length, e.Off, m.at, m.end-m.at)
		m.stopped = true
		return false
	}
	m.at += e.Length
	switch {
	case m.held.Length == 0:
		m.held = e
	case m.held.Hole == e.Hole && m.held.Zero == e.Zero:
		m.held.Length += e.Length
	default:
		m.stopped = !m.yield(m.held)
		m.held = e
	}
	return !m.stopped
}

// finish yields what is held, and what the device did not tell of.
func (m *extentMerger) finish() {
	if !m.stopped && m.at < m.end {
		m.add(Extent{Off: m.at, Length: m.end - m.at})
	}
	if !m.stopped && m.held.Length > 0 {
		m.yield(m.held)
	}
}

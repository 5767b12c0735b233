// Package overlay has a disk over another that it does not change: what is written
// goes to a store, and what was not is read from the base. So there are many disks
// over one golden image, each as large as what it changed; a snapshot is what lies
// below the next overlay. Commit writes the changes to the base, Discard forgets
// them.
//
// A store is a device, a file as a rule. It has a header, a table of where each
// cluster of the disk is, and the clusters' data (see header.go). Its size is that
// of the disk and a little more, most of it holes.
//
// What Sync or FUA has acknowledged survives a power cut at any instant. The store's
// table never names data that is not durable: Sync first makes the data durable,
// then the table. A Discard or the end of a Commit that is cut short is finished
// when the overlay is opened the next time.
//
// The base must not change while there is an overlay: only its size is looked at.
package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/rangelock"
)

// Config has what is chosen when a store is first used. Zero values mean what is
// said.
type Config struct {
	Cluster int // bytes that are copied at once, a power of two from 4 KB to 2 MB; 64 KB
}

const defaultCluster = 64 << 10

// Overlay is a disk over a base. It is a [block.Device] with all powers but Resize.
type Overlay struct {
	base, store *block.Disk
	header      header
	table       *table
	ranges      *rangelock.Table // of clusters: those who change states are alone
	saving      chan struct{}    // held by who makes the table durable
	buffers     sync.Pool        // of *[]byte, a cluster each
	broken      atomic.Pointer[error]
}

// Open makes a disk over the base of what the store holds, or begins a new one if
// the store holds nothing: no bytes at all, or zeroes where header and table would
// be. The store grows if it is too small and can.
func Open(base, store block.Device, c Config) (*Overlay, error) {
	o := &Overlay{ranges: rangelock.New(), saving: make(chan struct{}, 1)}
	var err error
	if o.base, err = block.NewDisk(base); err != nil {
		return nil, err
	}
	if o.store, err = block.NewDisk(store); err != nil {
		return nil, err
	}
	if err := o.base.Claim(); err != nil { // and it stays so
		return nil, err
	}
	if err := o.open(c); err != nil {
		return nil, err
	}
	o.buffers.New = func() any { b := make([]byte, o.header.cluster); return &b }
	return o, nil
}

// InMemory is an overlay whose store is in memory: what is written is gone at the
// end.
func InMemory(base block.Device) (*Overlay, error) {
	return Open(base, block.NewMemory(0), Config{})
}

func (o *Overlay) open(c Config) error {
	size, err := o.base.Size()
	if err != nil {
		return fmt.Errorf("overlay: the size of the base: %w", err)
	}
	room, err := o.store.Size()
	if err != nil {
		return fmt.Errorf("overlay: the size of the store: %w", err)
	}
	empty := room < headerSize
	if !empty {
		first := make([]byte, headerSize)
		if _, err := o.store.ReadAt(first, 0); err != nil {
			return err
		}
		if o.header, empty, err = decode(first); err != nil {
			return err
		}
	}
	if empty {
		return o.create(c, size, room)
	}
	if o.header.size != size {
		return fmt.Errorf("overlay: the base has %d bytes, and the overlay was made over one of %d", size, o.header.size)
	}
	if need := o.header.storeSize(); room < need {
		return fmt.Errorf("overlay: the store has been cut off: it has %d bytes of %d", room, need)
	}
	o.table = newTable(o.header.tableSize())
	if o.header.flags&flagDiscarding != 0 {
		return o.finishDiscard(context.Background())
	}
	if _, err := o.store.ReadAt(o.table.bytes, tableStart); err != nil {
		return err
	}
	return o.table.check()
}

// create begins a new overlay. The header comes last: without it the store is empty.
func (o *Overlay) create(c Config, size, room int64) error {
	o.header = header{cluster: int64(c.Cluster), size: size}
	if c.Cluster == 0 {
		o.header.cluster = defaultCluster
	}
	if err := o.header.check(); err != nil {
		return err
	}
	if err := o.checkEmpty(min(room, o.header.dataStart())); err != nil {
		return err
	}
	o.table = newTable(o.header.tableSize())
	if need := o.header.storeSize(); room < need {
		if err := o.store.Resize(need); err != nil {
			return fmt.Errorf("overlay: the store has %d bytes, and %d are needed: %w", room, need, err)
		}
	}
	if err := o.store.WriteZeroes(tableStart, o.header.tableSize(), 0); err != nil {
		return err
	}
	if err := o.store.Sync(); err != nil {
		return err
	}
	return o.writeHeader(context.Background())
}

// checkEmpty fails unless the store begins with zeroes: a file system, of which many
// leave the first sector to others, is not to be written over.
func (o *Overlay) checkEmpty(length int64) error {
	b := make([]byte, 64<<10)
	for off := int64(0); off < length; off += int64(len(b)) {
		b := b[:min(int64(len(b)), length-off)]
		if _, err := o.store.ReadAt(b, off); err != nil {
			return err
		}
		if bytes.Count(b, []byte{0}) != len(b) {
			return ErrNotOverlay
		}
	}
	return nil
}

// writeHeader makes the header durable.
func (o *Overlay) writeHeader(ctx context.Context) error {
	_, err := o.store.WriteAtContext(ctx, o.header.encode(), 0, true)
	return err
}

// Info tells what an overlay does by itself.
func (o *Overlay) Info() block.Info {
	store := o.store.Info()
	return block.Info{
		ReadOnly:   store.ReadOnly,
		Rotational: store.Rotational || o.base.Rotational(),
		MultiConn:  store.MultiConn && o.base.MultiConn(),
		FUA:        store.FUA, Trim: true, Zero: true, Extents: true, Prefetch: store.Prefetch,
		BlockSizes: block.BlockSizes{Preferred: int(o.header.cluster)},
	}
}

// Size is that of the base.
func (o *Overlay) Size() (int64, error) { return o.header.size, nil }

// Used is how many bytes of the disk are in the store.
func (o *Overlay) Used() (n int64) {
	for first, end := int64(0), o.header.clusters(); first < end; {
		s, count := o.table.run(first, end-first)
		if s == inStore {
			n += o.end(first+count) - first*o.header.cluster
		}
		first += count
	}
	return n
}

// end is where the clusters before number n end.
func (o *Overlay) end(n int64) int64 { return min(n*o.header.cluster, o.header.size) }

// clusters are the numbers of the clusters that a range touches.
func (o *Overlay) clusters(off, length int64) (first, end int64) {
	return off / o.header.cluster, (off + length + o.header.cluster - 1) / o.header.cluster
}

// enter waits until nobody disturbs work on the clusters from first up to end.
func (o *Overlay) enter(ctx context.Context, first, end int64, alone bool) (*rangelock.Range, error) {
	if err := o.broken.Load(); err != nil {
		return nil, *err
	}
	return o.ranges.Enter(ctx, first, end, alone)
}

// at is where the store has, or would have, the byte at off.
func (o *Overlay) at(off int64) int64 { return o.header.dataStart() + off }

// eachRun calls f for the parts of a range whose clusters have one state.
func (o *Overlay) eachRun(off, length int64, f func(s state, off, length int64) error) error {
	for stop := off + length; off < stop; {
		first, end := o.clusters(off, stop-off)
		s, n := o.table.run(first, end-first)
		next := min(stop, (first+n)*o.header.cluster)
		if err := f(s, off, next-off); err != nil {
			return err
		}
		off = next
	}
	return nil
}

// ReadAt is ReadAtContext without a context.
func (o *Overlay) ReadAt(p []byte, off int64) (int, error) {
	return o.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext reads len(p) bytes at off.
func (o *Overlay) ReadAtContext(ctx context.Context, p []byte, off int64) (n int, err error) {
	first, end := o.clusters(off, int64(len(p)))
	r, err := o.enter(ctx, first, end, false)
	if err != nil {
		return 0, err
	}
	defer o.ranges.Leave(r)
	for n < len(p) {
		at := off + int64(n)
		first, end := o.clusters(at, int64(len(p)-n))
		s, count := o.table.run(first, end-first)
		part := p[n : n+int(min(int64(len(p)-n), (first+count)*o.header.cluster-at))]
		switch s {
		case inBase:
			_, err = o.base.ReadAtContext(ctx, part, at)
		case inStore:
			_, err = o.store.ReadAtContext(ctx, part, o.at(at))
		default:
			clear(part)
		}
		if err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// Extents is ExtentsContext without a context.
func (o *Overlay) Extents(off, length int64, yield func(block.Extent) bool) error {
	return o.ExtentsContext(context.Background(), off, length, yield)
}

var errStop = errors.New("no more")

// ExtentsContext tells of clusters in the store as data, and of others as the base
// does.
func (o *Overlay) ExtentsContext(ctx context.Context, off, length int64, yield func(block.Extent) bool) error {
	err := o.eachRun(off, length, func(s state, off, length int64) error {
		more := true
		switch s {
		case inBase:
			if err := o.base.ExtentsContext(ctx, off, length, func(e block.Extent) bool {
				more = yield(e)
				return more
			}); err != nil {
				return err
			}
		default:
			more = yield(block.Extent{Off: off, Length: length, Hole: s == zero, Zero: s == zero})
		}
		if !more {
			return errStop
		}
		return nil
	})
	if err == errStop {
		return nil
	}
	return err
}

// Prefetch passes the hint on.
func (o *Overlay) Prefetch(off, length int64) error {
	return o.eachRun(off, length, func(s state, off, length int64) error {
		switch s {
		case inBase:
			return o.base.Prefetch(off, length)
		case inStore:
			return o.store.Prefetch(o.at(off), length)
		}
		return nil
	})
}

// Close makes all durable, and closes the store and the base.
func (o *Overlay) Close() error {
	return errors.Join(o.Sync(), o.store.Close(), o.base.Close())
}

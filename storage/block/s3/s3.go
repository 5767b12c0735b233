package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A Disk is a disk in a bucket. It is a [block.Device] with all powers.
type Disk struct {
	config  Config
	chunk   int
	objects objects
	journal block.Device // or nil
	layout  layout
	idle    func() // ends connections that nobody uses

	size     atomic.Int64
	admitted chan struct{} // one is held for each request
	requests chan *request
	cancels  chan *request
	fetches  chan *job
	changes  chan *job
	results  chan *job

	ctx    context.Context // of all work, until the disk is closed
	cancel context.CancelFunc
	group  sync.WaitGroup
	once   chan struct{} // of capacity 1: whoever puts something in it closes the disk
}

// Stats counts what a disk has done, and says how it stands.
type Stats struct {
	Misses      int64 // chunks that were asked for
	Fetched     int64
	Uploaded    int64 // chunks
	Published   int64 // manifests
	Removed     int64 // objects that nothing named any more
	Swept       int64 // of them, those that a sudden end had left
	Replayed    int64 // records of the journal, when the disk was opened
	Failures    int64 // attempts in the bucket
	LastFailure error // or nil

	Dirty   int // chunks that are to be uploaded
	Held    int // buffers of a chunk's size that are needed until they are
	Cached  int // buffers that are in use
	Garbage int // objects that are to be deleted
}

// start starts the goroutines of a disk.
func start(objects objects, c Config, f found, p plan, x *index) *Disk {
	d := &Disk{
		config: c, chunk: f.manifest.Chunk, objects: objects, layout: f.layout, idle: func() {},
		admitted: make(chan struct{}, mostRequests),
		requests: make(chan *request), cancels: make(chan *request),
		fetches: make(chan *job), changes: make(chan *job), results: make(chan *job),
		once: make(chan struct{}, 1),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.size.Store(f.manifest.Size)
	r := rand.New(c.Rand)
	o := &owner{
		disk: d, config: c, index: x,
		cache:    newCache(d.chunk, int(max(c.Cache/int64(d.chunk), 8))),
		manifest: f.manifest, etag: f.etag, size: f.manifest.Size,
		number: f.manifest.Applied, floor: f.manifest.Floor,
		fetches: schedule{rand: r}, changes: schedule{rand: r},
		replaying: p.replay, lastRead: -1,
	}
	if !c.ReadOnly {
		o.renewAt = time.Now().Add(c.Lease / 3)
		if f.manifest.Sweep || f.unclean {
			o.sweep("")
		}
	}
	if f.journal {
		d.journal = c.Journal
		o.journal = newJournal(c.Journal, f.layout)
		o.at = f.layout.start(0)
		o.journal.start(&d.group)
	}
	for range c.Parallel {
		d.group.Go(func() { d.work(d.fetches) })
		d.group.Go(func() { d.work(d.changes) })
	}
	d.group.Go(func() { o.run(d.ctx) })
	return d
}

// stop ends everything as it is.
func (d *Disk) stop() {
	d.cancel()
	d.group.Wait()
	d.idle()
}

// Close uploads what the bucket has not, gives the disk back to other writers, and
// closes the journal. If that cannot be done in time, an error says so: what is in the
// journal is uploaded when the disk is opened with it the next time; without a
// journal, what no Sync has made durable is lost.
func (d *Disk) Close() error {
	select {
	case d.once <- struct{}{}:
	default:
		return nil
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.config.CloseWithin)
	defer cancel()
	err := d.do(ctx, &request{op: opClose})
	if err != nil {
		err = fmt.Errorf("s3: closing %s: not all of it is in the bucket: %w", d.config.Name, err)
	}
	d.stop()
	if d.journal == nil {
		return err
	}
	if err == nil && !d.config.ReadOnly {
		err = newJournal(d.journal, d.layout).empty()
	}
	if c, ok := d.journal.(interface{ Close() error }); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Upload returns when all that was written before is in the bucket. Progress, if it is
// not nil, is told now and then how many bytes of how many are there.
func (d *Disk) Upload(ctx context.Context, progress func(done, total int64)) error {
	r := &request{op: opUpload}
	if progress == nil {
		return d.do(ctx, r)
	}
	r.progress = make(chan [2]int64, 1)
	ended := make(chan error, 1)
	go func() { ended <- d.do(ctx, r) }()
	for {
		select {
		case p := <-r.progress:
			progress(p[0], p[1])
		case err := <-ended:
			return err
		}
	}
}

// Stats returns the counts up to now, or none after Close.
func (d *Disk) Stats() Stats {
	r := &request{op: opStats}
	d.do(context.Background(), r)
	return r.stats
}

// Size is in bytes.
func (d *Disk) Size() (int64, error) { return d.size.Load(), nil }

// ReadOnly says whether the disk was opened for reading only.
func (d *Disk) ReadOnly() bool { return d.config.ReadOnly }

// BlockSizes prefers whole chunks: what is written in part is read before it is
// uploaded.
func (d *Disk) BlockSizes() block.BlockSizes {
	return block.BlockSizes{Preferred: d.chunk, Maximum: 32 << 20}
}

// ReadAt is ReadAtContext without a context.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	return d.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext reads len(p) bytes at off.
func (d *Disk) ReadAtContext(ctx context.Context, p []byte, off int64) (int, error) {
	r := &request{op: opRead, p: p, off: off, length: int64(len(p))}
	err := d.do(ctx, r)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteAt is WriteAtContext without a context and without FUA.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	return d.WriteAtContext(context.Background(), p, off, false)
}

// WriteAtFUA is WriteAtContext without a context and with FUA.
func (d *Disk) WriteAtFUA(p []byte, off int64) (int, error) {
	return d.WriteAtContext(context.Background(), p, off, true)
}

// WriteAtContext writes p. With fua it is durable, otherwise after the next Sync. It
// waits where neither memory nor the journal has room, until the bucket takes some.
func (d *Disk) WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (int, error) {
	if d.config.ReadOnly {
		return 0, block.ErrReadOnly
	}
	if err := d.do(ctx, &request{op: opWrite, p: p, off: off, length: int64(len(p)), durable: fua}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync is SyncContext without a context.
func (d *Disk) Sync() error { return d.SyncContext(context.Background()) }

// SyncContext makes all that was written before durable: in the journal or, without
// one, in the bucket.
func (d *Disk) SyncContext(ctx context.Context) error {
	if d.config.ReadOnly {
		return ctx.Err()
	}
	return d.do(ctx, &request{op: opSync})
}

// Trim is TrimContext without a context.
func (d *Disk) Trim(off, length int64) error {
	return d.TrimContext(context.Background(), off, length)
}

// TrimContext makes whole chunks holes, whose objects are deleted.
func (d *Disk) TrimContext(ctx context.Context, off, length int64) error {
	if d.config.ReadOnly {
		return block.ErrReadOnly
	}
	size := d.size.Load()
	if off < 0 || length < 0 || off > size || length > size-off {
		return block.ErrRange
	}
	unit := int64(d.chunk)
	first, end := (off+unit-1)/unit*unit, (off+length)/unit*unit
	if off+length == size {
		end = size
	}
	if first >= end {
		return ctx.Err()
	}
	return d.do(ctx, &request{op: opZero, off: first, length: end - first})
}

// WriteZeroes is WriteZeroesContext without a context.
func (d *Disk) WriteZeroes(off, length int64, flags block.ZeroFlags) error {
	return d.WriteZeroesContext(context.Background(), off, length, flags)
}

// WriteZeroesContext makes whole chunks holes, and parts of others zeroes. It is
// always fast. With ZeroNoHole it is the same: a bucket has no room to keep, and no
// write fails for want of it.
func (d *Disk) WriteZeroesContext(ctx context.Context, off, length int64, flags block.ZeroFlags) error {
	if d.config.ReadOnly {
		return block.ErrReadOnly
	}
	return d.do(ctx, &request{op: opZero, off: off, length: length, durable: flags&block.ZeroFUA != 0})
}

// Extents is ExtentsContext without a context.
func (d *Disk) Extents(off, length int64, yield func(block.Extent) bool) error {
	return d.ExtentsContext(context.Background(), off, length, yield)
}

// ExtentsContext tells of chunks that have no object as holes, and of others as data.
func (d *Disk) ExtentsContext(ctx context.Context, off, length int64, yield func(block.Extent) bool) error {
	for end := off + length; off < end; {
		r := &request{op: opExtents, off: off, length: end - off}
		if err := d.do(ctx, r); err != nil {
			return err
		}
		if len(r.extents) == 0 {
			return block.ErrRange
		}
		for _, e := range r.extents {
			if !yield(e) {
				return nil
			}
			off = e.Off + e.Length
		}
	}
	return nil
}

// Prefetch begins to fetch chunks, as far as requests are free.
func (d *Disk) Prefetch(off, length int64) error {
	return d.do(context.Background(), &request{op: opPrefetch, off: off, length: length})
}

// Resize changes the size. It is durable when it returns.
func (d *Disk) Resize(size int64) error {
	if d.config.ReadOnly {
		return block.ErrReadOnly
	}
	if size < 0 {
		return block.ErrRange
	}
	if err := checkGeometry(size, d.chunk); err != nil {
		return fmt.Errorf("s3: %w", err)
	}
	return d.do(context.Background(), &request{op: opResize, off: size, durable: true})
}

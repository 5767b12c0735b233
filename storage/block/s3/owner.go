package s3

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// The owner is the goroutine that has all state of a disk: the index, the cache, where
// the journal is written, what is published. Users send it requests; it sends jobs to
// workers, which talk to the bucket, and items to the journal. It never waits for one
// of these alone.
//
//	users --requests, cancels--> owner --fetches, changes--> workers
//	                             owner <-------results------ workers
//	                             owner --items--> journal --replies--> users
//
// Owns: all fields. Reads: requests, cancels, results, journal.failed, its timer.
// Writes: fetches, changes, journal.items, and replies, which have room. Blocks on:
// all of these together.
type owner struct {
	disk   *Disk
	config Config
	cache  *cache
	index  *index

	manifest manifest // as published
	etag     string
	size     int64
	sequence uint32 // of the last object of this epoch
	number   uint64 // of the last record
	floor    uint32

	// The journal, or nil, and where it is written next.
	journal *journal
	area    int
	at      int64
	items   []item // that the journal has not taken yet, few for each request

	writes  []*request // that wait for room, in their order
	reads   []*request // that wait for room
	syncs   []*request // that wait for what they wrote to be published
	uploads []*request // likewise, and for all else
	closing *request

	fetches, changes schedule
	busy             int // fetches under way
	removing         int // deletions under way or to be tried again
	garbage          []string
	sweeping         bool
	unswept          bool // some of it could not be deleted

	checkpoint *checkpoint
	swap       *job // of the manifest, under way
	want       uint64
	replaying  bool
	changedAt  time.Time // the first change that no checkpoint has, or zero
	renewAt    time.Time
	lastRead   int64 // chunk

	broken error // why there are no writes any more
	ended  error // why there is nothing any more
	stats  Stats
}

// run is the owner's loop.
func (o *owner) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		o.advance(now)
		timer.Reset(o.pause(now))
		fetch, change := o.fetches.next(), o.changes.next()
		var fetches, changes chan<- *job
		var items chan<- item
		var first item
		var journalFailed <-chan error
		if fetch != nil {
			fetches = o.disk.fetches
		}
		if change != nil {
			changes = o.disk.changes
		}
		if o.journal != nil {
			journalFailed = o.journal.failed
		}
		if len(o.items) > 0 {
			items, first = o.journal.items, o.items[0]
		}
		select {
		case r := <-o.disk.requests:
			o.begin(r)
		case r := <-o.disk.cancels:
			o.cancel(r)
		case fetches <- fetch:
			o.fetches.taken()
		case changes <- change:
			o.changes.taken()
		case items <- first:
			o.items = o.items[1:]
		case j := <-o.disk.results:
			o.result(j, time.Now())
		case err := <-journalFailed:
			o.broken = err
			o.failWrites(err)
		case <-timer.C:
		case <-ctx.Done():
			o.end(block.ErrClosed)
			o.drain()
			return
		}
	}
}

// pause is how long nothing happens by itself.
func (o *owner) pause(now time.Time) time.Duration {
	next := now.Add(time.Hour)
	renewAt := o.renewAt
	if o.swap != nil || o.ended != nil {
		renewAt = time.Time{}
	}
	for _, t := range []time.Time{o.fetches.deadline(), o.changes.deadline(), renewAt, o.uploadAt()} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return max(next.Sub(now), 0)
}

// uploadAt is when a checkpoint begins at the latest, or zero.
func (o *owner) uploadAt() time.Time {
	if o.changedAt.IsZero() || o.checkpoint != nil || o.replaying || o.ended != nil {
		return time.Time{}
	}
	return o.changedAt.Add(o.config.UploadAfter)
}

// begin takes a request.
func (o *owner) begin(r *request) {
	if o.ended != nil {
		r.finish(o.ended)
		return
	}
	if r.off < 0 || r.length < 0 || r.op <= opZero && (r.off > o.size || r.length > o.size-r.off) {
		r.finish(block.ErrRange)
		return
	}
	if r.op == opZero && r.length > 0 && r.off+r.length == o.size { // its last chunk is whole
		r.length = chunkCount(o.size, o.manifest.Chunk)*o.chunk() - r.off
	}
	switch r.op {
	case opRead:
		o.read(r)
	case opWrite, opZero, opResize, opReplay:
		switch {
		case o.closing != nil:
			r.finish(block.ErrClosed)
		case o.broken != nil:
			r.finish(o.broken)
		case len(o.writes) > 0 || !o.change(r):
			o.writes = append(o.writes, r)
		}
	case opSync:
		o.sync(r)
	case opUpload:
		o.want, r.number = o.number, o.number
		o.uploads = append(o.uploads, r)
		o.answerUploads()
	case opClose:
		if o.config.ReadOnly {
			r.finish(nil)
			break
		}
		o.want, o.closing = o.number, r
	case opReplayed:
		// A number that no record has: the checkpoint with it is one that has the floor.
		o.number++
		o.replaying, o.floor = false, o.manifest.Epoch
		o.want, r.number = o.number, o.number
		o.uploads = append(o.uploads, r)
	case opExtents:
		o.extents(r)
	case opPrefetch:
		for i := r.off / o.chunk(); i*o.chunk() < min(r.off+r.length, o.size); i++ {
			if !o.ahead(i) {
				break
			}
		}
		r.finish(nil)
	case opStats:
		r.stats = o.stats
		r.stats.Dirty, r.stats.Held, r.stats.Cached = o.cache.dirty, o.cache.held, o.cache.used
		r.stats.Garbage = len(o.garbage) + o.removing
		r.finish(nil)
	}
}

// cancel ends a request that waits. One that the journal has ends soon by itself.
func (o *owner) cancel(r *request) {
	found := false
	for _, list := range []*[]*request{&o.writes, &o.reads, &o.syncs, &o.uploads} {
		if i := slices.Index(*list, r); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
			found = true
		}
	}
	if c := r.waitsFor; c != nil {
		if i := slices.Index(c.waiting, r); i >= 0 {
			c.waiting = slices.Delete(c.waiting, i, i+1)
			found = true
		}
	}
	if o.closing == r {
		o.closing, found = nil, true
	}
	switch {
	case !found:
	case r.op == opWrite && r.done > 0 && o.journal != nil:
		// The journal has, or will have, part of its bytes.
		o.items = append(o.items, item{waits: r, err: r.ctx.Err()})
	default:
		r.finish(r.ctx.Err())
	}
}

// end ends all that waits. Nothing is done for anybody any more.
func (o *owner) end(err error) {
	if o.ended != nil {
		return
	}
	o.ended = err
	o.failWrites(err)
	for _, list := range [][]*request{o.reads, o.syncs, o.uploads} {
		for _, r := range list {
			r.finish(err)
		}
	}
	if o.closing != nil {
		o.closing.finish(err)
	}
	o.reads, o.syncs, o.uploads, o.closing = nil, nil, nil, nil
	for _, c := range o.cache.chunks {
		for _, r := range c.waiting {
			r.finish(err)
		}
		c.waiting = nil
	}
	o.fetches.ready, o.fetches.later, o.changes.ready, o.changes.later = nil, nil, nil, nil
}

// drain gives the journal what it has not taken, answers who is late, and lets the
// journal end.
func (o *owner) drain() {
	for _, it := range o.items {
		o.journal.items <- it
	}
	if o.journal != nil {
		close(o.journal.items)
	}
	for {
		select {
		case r := <-o.disk.requests:
			r.finish(block.ErrClosed)
		default:
			return
		}
	}
}

// result takes back a job.
func (o *owner) result(j *job, now time.Time) {
	if o.ended != nil {
		return
	}
	if j.err != nil {
		o.stats.Failures++
		o.stats.LastFailure = j.err
	}
	switch j.kind {
	case jobFetch:
		o.fetched(j, now)
	case jobChunk, jobPage, jobManifest:
		switch {
		case errors.Is(j.err, ErrLost):
			o.end(j.err)
		case j.err != nil:
			o.changes.retry(j, now)
		case j.kind == jobChunk:
			o.putChunk(j)
		case j.kind == jobPage:
			o.putPage(j)
		default:
			o.swapped(j, now)
		}
	case jobRemove:
		if j.err != nil && j.retries < 5 {
			o.changes.retry(j, now)
			return
		}
		o.removing--
		if j.err != nil {
			o.unswept = true // the next who opens the disk looks for it
		} else {
			o.stats.Removed++
		}
	case jobList:
		o.swept(j, now)
	}
}

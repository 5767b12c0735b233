package s3

import (
	"context"
	"errors"
	"fmt"
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

func (o *owner) chunk() int64 { return int64(o.manifest.Chunk) }

// piece is what of a request is in the chunk where it goes on.
func (o *owner) piece(r *request) (number int64, at, n int) {
	off := r.off + r.done
	number = off / o.chunk()
	at = int(off % o.chunk())
	return number, at, int(min(r.length-r.done, o.chunk()-int64(at)))
}

// hole says whether there is no object of the chunk.
func (o *owner) hole(number int64) bool { return o.index.get(number) == entry{} }

// read goes on with a read, until it is done or waits for something.
func (o *owner) read(r *request) {
	r.waitsFor = nil
	for r.done < r.length {
		number, at, n := o.piece(r)
		if o.cache.read(number, at, r.p[r.done:r.done+int64(n)], o.hole(number)) {
			r.done += int64(n)
			o.lastRead = number
			continue
		}
		c, ok := o.fetch(number)
		if !ok {
			o.reads = append(o.reads, r)
			return
		}
		r.waitsFor = c
		c.waiting = append(c.waiting, r)
		last := (r.off + r.length - 1) / o.chunk()
		if number == o.lastRead || number == o.lastRead+1 {
			last += int64(o.config.ReadAhead)
		}
		for i := number + 1; i <= last && i*o.chunk() < o.size && o.ahead(i); i++ {
		}
		return
	}
	r.finish(nil)
}

// fetch asks for the object of a chunk, if it is not on its way, and says whether
// there is room for it.
func (o *owner) fetch(number int64) (*chunk, bool) {
	c, ok, ask := o.cache.fetch(number)
	if ok && ask {
		o.busy++
		o.stats.Misses++
		o.fetches.add(&job{kind: jobFetch, number: number, entry: o.index.get(number), began: time.Now()})
	}
	return c, ok
}

// ahead asks for a chunk that will be read soon, and says whether there may be more.
func (o *owner) ahead(number int64) bool {
	if o.busy >= o.config.Parallel {
		return false
	}
	if c := o.cache.chunks[number]; c == nil && !o.hole(number) {
		_, ok := o.fetch(number)
		return ok
	}
	return true
}

// change goes on with a change, and says whether it is done, or waits for nothing but
// the journal.
func (o *owner) change(r *request) bool {
	if r.op == opReplay && !o.isSane(r.record) {
		r.finish(fmt.Errorf("s3: the journal has a record %+v, which is of another disk: %w", r.record, ErrJournal))
		return true
	}
	for r.done < r.length || r.op == opResize || r.op == opReplay {
		rec, data, ok := o.apply(r)
		if !ok {
			return false
		}
		if o.changedAt.IsZero() {
			o.changedAt = time.Now()
		}
		if r.op == opReplay {
			r.finish(nil)
			return true
		}
		o.number++
		it := item{record: rec, data: data, at: o.at}
		it.record.number, it.record.epoch = o.number, o.manifest.Epoch
		if r.op == opResize || r.done == r.length {
			it.waits, it.sync = r, r.durable
		}
		if o.journal == nil {
			if it.waits != nil {
				o.changed(r)
			}
		} else {
			o.items = append(o.items, it)
			o.at += it.record.size()
		}
		if it.waits != nil {
			return true
		}
	}
	r.finish(nil) // of nothing
	return true
}

// changed answers a change where there is no journal.
func (o *owner) changed(r *request) {
	if r.durable {
		o.sync(r)
	} else {
		r.finish(nil)
	}
}

// apply makes the next step of a change to the cache, and returns its record, if there
// is room for both.
func (o *owner) apply(r *request) (rec record, data []byte, ok bool) {
	switch r.op {
	case opReplay:
		return o.replay(r)
	case opResize:
		rec = record{kind: recordResize, off: r.off}
		if !o.fits(rec) || !o.resize(r.off) {
			return rec, nil, false
		}
		return rec, nil, true
	}
	number, at, n := o.piece(r)
	rec = record{kind: recordWrite, off: r.off + r.done, length: int64(n)}
	if r.op == opWrite {
		data = r.p[r.done : r.done+int64(n)]
		if !o.fits(rec) || !o.cache.write(number, at, data, n, o.hole(number)) {
			return rec, nil, false
		}
	} else {
		if rec.kind = recordZero; at == 0 { // whole chunks go together
			rec.length = max(rec.length, (r.length-r.done)/o.chunk()*o.chunk())
		}
		if !o.fits(rec) || !o.zero(rec.off, rec.length) {
			return rec, nil, false
		}
	}
	r.done += rec.length
	return rec, data, true
}

// fits says whether the journal has room for the record.
func (o *owner) fits(rec record) bool {
	return o.journal == nil || o.at+rec.size() <= o.journal.layout.start(o.area+1)
}

// zero makes a range zeroes that is part of one chunk, or whole chunks.
func (o *owner) zero(off, length int64) bool {
	first, end := off/o.chunk(), (off+length)/o.chunk()
	if length < o.chunk() {
		return o.cache.write(first, int(off%o.chunk()), nil, int(length), o.hole(first))
	}
	for i := o.index.next(first, end); i < end; i = o.index.next(i+1, end) {
		o.cache.write(i, 0, nil, o.cache.size, false)
	}
	for i := range o.cache.chunks { // and those that the index does not know yet
		if first <= i && i < end {
			o.cache.write(i, 0, nil, o.cache.size, o.hole(i))
		}
	}
	return true
}

// resize changes the size. What is cut off does not come back.
func (o *owner) resize(size int64) bool {
	if size < o.size {
		part := (o.chunk() - size%o.chunk()) % o.chunk()
		if part > 0 && !o.zero(size, part) {
			return false
		}
		if rest := chunkCount(o.size, o.manifest.Chunk)*o.chunk() - size - part; rest > 0 {
			o.zero(size+part, rest)
		}
	}
	o.size = size
	o.disk.size.Store(size)
	return true
}

// isSane says whether the record can be one of this disk.
func (o *owner) isSane(rec record) bool {
	end := chunkCount(o.size, o.manifest.Chunk) * o.chunk()
	switch rec.kind {
	case recordResize:
		return checkGeometry(rec.off, o.manifest.Chunk) == nil
	case recordWrite:
		return rec.off+rec.length <= end && rec.off%o.chunk()+rec.length <= o.chunk()
	}
	part := rec.length < o.chunk() && rec.off%o.chunk()+rec.length <= o.chunk()
	return rec.off+rec.length <= end && (part || rec.off%o.chunk() == 0 && rec.length%o.chunk() == 0)
}

// replay makes a change that the journal has already.
func (o *owner) replay(r *request) (rec record, data []byte, ok bool) {
	rec = r.record
	switch rec.kind {
	case recordWrite:
		number, at := rec.off/o.chunk(), int(rec.off%o.chunk())
		ok = o.cache.write(number, at, r.p, len(r.p), o.hole(number))
	case recordZero:
		ok = o.zero(rec.off, rec.length)
	case recordResize:
		ok = o.resize(rec.off)
	}
	if ok {
		o.number = rec.number
		o.stats.Replayed++
	}
	return rec, nil, ok
}

// sync answers when all that was changed before is durable.
func (o *owner) sync(r *request) {
	switch {
	case o.journal != nil && o.broken != nil:
		r.finish(o.broken)
	case o.journal != nil:
		o.items = append(o.items, item{sync: true, waits: r})
	case o.manifest.Applied >= o.number:
		r.finish(nil)
	default:
		r.number = o.number
		o.want = o.number
		o.syncs = append(o.syncs, r)
	}
}

// What one request looks at at most. Its user asks on.
const (
	mostExtents = 1024
	mostSeen    = 64 << 10 // chunks
)

// extents tells of a range: what is a hole in the index, and not in memory, is one.
func (o *owner) extents(r *request) {
	end := min(r.off+r.length, o.size)
	for off, seen := r.off, 0; off < end && len(r.extents) < mostExtents && seen < mostSeen; seen++ {
		number := off / o.chunk()
		next := min((number+1)*o.chunk(), end)
		hole := o.hole(number)
		if c := o.cache.chunks[number]; c != nil {
			hole = c.now.full && c.now.data == nil
		}
		if n := len(r.extents); n > 0 && r.extents[n-1].Hole == hole {
			r.extents[n-1].Length += next - off
		} else {
			r.extents = append(r.extents, block.Extent{Off: off, Length: next - off, Hole: hole, Zero: hole})
		}
		off = next
	}
	r.finish(nil)
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

// failWrites ends all changes that wait.
func (o *owner) failWrites(err error) {
	for _, r := range o.writes {
		if r.done > 0 && o.journal != nil {
			o.items = append(o.items, item{waits: r, err: err})
		} else {
			r.finish(err)
		}
	}
	o.writes = nil
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

// fetched takes the object of a chunk, or why there is none.
func (o *owner) fetched(j *job, now time.Time) {
	c := o.cache.chunks[j.number]
	missing := errors.Is(j.err, errNotFound)
	if j.err != nil && !missing && (o.config.Patience < 0 || now.Sub(j.began) < o.config.Patience || c != nil && c.frozen != nil) {
		o.fetches.retry(j, now)
		return
	}
	o.busy--
	if c == nil || !c.fetching {
		return
	}
	waiting := c.waiting
	c.waiting = nil
	if j.err == nil {
		o.stats.Fetched++
		o.cache.fetched(c, j.data)
		if c.frozen != nil {
			o.uploadFrozen(c)
		}
		for _, r := range waiting {
			o.read(r)
		}
		return
	}
	if missing {
		j.err = fmt.Errorf("%w: %v", ErrChanged, j.err)
		if c.frozen != nil || c.dirty {
			o.end(j.err)
		}
	}
	o.cache.failed(c)
	for _, r := range waiting {
		r.finish(&block.MediumError{Op: "read", Off: j.number * o.chunk(), Err: j.err})
	}
}

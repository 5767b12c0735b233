package s3

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

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

// fetched takes the object of a chunk, or why there is none.
func (o *owner) fetched(j *job, now time.Time) {
	c := o.cache.chunks[j.number]
	wanted := c != nil && c.wantsObject()
	missing := errors.Is(j.err, errNotFound)
	if wanted && j.err != nil && !missing && (o.config.Patience < 0 || now.Sub(j.began) < o.config.Patience || c.frozen != nil) {
		o.fetches.retry(j, now)
		return
	}
	o.busy--
	if c == nil || !c.fetching {
		return
	}
	waiting := c.waiting
	c.waiting = nil
	if j.err == nil || !wanted {
		if j.err == nil {
			o.stats.Fetched++
		}
		completes := c.frozen != nil && !c.frozen.full
		o.cache.fetched(c, j.data)
		if completes {
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

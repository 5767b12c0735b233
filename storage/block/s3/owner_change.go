package s3

import (
	"fmt"
	"time"
)

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

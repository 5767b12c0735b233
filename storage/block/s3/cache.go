package s3

import "container/list"

// An image is the content of a chunk at some time. Once it is part of a checkpoint it
// is not written any more: the next write makes another one.
type image struct {
	data  []byte // or nil, which stands for zeroes, all of them good
	valid spans  // what of data is good, unless it is full
	full  bool   // all of data is good
}

// good says whether the bytes from lo up to hi are known.
func (m *image) good(lo, hi int) bool { return m.full || m.valid.covers(lo, hi) }

// fill puts what the object of the chunk holds where the image knows nothing.
func (m *image) fill(object []byte) {
	m.valid.gaps(len(m.data), func(lo, hi int) { copy(m.data[lo:hi], object[lo:hi]) })
	m.valid, m.full = nil, true
}

// A chunk is what memory has of a chunk of the disk.
type chunk struct {
	number   int64
	now      *image
	frozen   *image // what a checkpoint is about to publish, or nil; perhaps the same as now
	dirty    bool   // now is newer than frozen, and than the object
	fetching bool   // the object is on its way
	waiting  []*request
	place    *list.Element // in cache.recent, if there is data
}

// A cache is the chunks that are in memory, and the rules for them. It is a plain
// machine: it belongs to one goroutine and waits for nothing.
//
// Buffers of data are bounded. Those of chunks that are the same as their objects are
// given up for others, the one that was used least lately first. Those that hold what
// the bucket has not are held, and there are at most mostHeld of them, so that reads
// always find room.
type cache struct {
	size     int // of a chunk in bytes
	slots    int // buffers
	mostHeld int

	chunks map[int64]*chunk
	recent list.List // of *chunk with data, the latest use first
	used   int       // buffers in use
	held   int       // of them those that the bucket has not
	dirty  int       // chunks that are dirty, also those without data
}

func newCache(size, slots int) *cache {
	return &cache{size: size, slots: slots, mostHeld: slots - max(1, slots/4), chunks: map[int64]*chunk{}}
}

// buffers says how many buffers the chunk has, and how many of them are held.
func (c *chunk) buffers() (used, held int) {
	if c.now.data != nil {
		used++
		if c.dirty || c.frozen == c.now {
			held++
		}
	}
	if c.frozen != nil && c.frozen != c.now && c.frozen.data != nil {
		used++
		held++
	}
	return used, held
}

// change calls f, which changes the chunk, and keeps account of its buffers.
func (k *cache) change(c *chunk, f func()) {
	used, held := c.buffers()
	wasDirty := c.dirty
	f()
	nowUsed, nowHeld := c.buffers()
	k.used += nowUsed - used
	k.held += nowHeld - held
	if c.dirty != wasDirty {
		k.dirty += map[bool]int{true: 1, false: -1}[c.dirty]
	}
	if c.now.data != nil && c.place == nil {
		c.place = k.recent.PushFront(c)
	} else if c.now.data == nil && c.place != nil {
		k.recent.Remove(c.place)
		c.place = nil
	}
}

// room makes room for one more buffer, and says whether there is. Except is not
// given up for it.
func (k *cache) room(except *chunk) bool {
	if k.used < k.slots {
		return true
	}
	for e := k.recent.Back(); e != nil; e = e.Prev() {
		c := e.Value.(*chunk)
		if c != except && !c.dirty && c.frozen == nil && !c.fetching && len(c.waiting) == 0 {
			k.drop(c)
			return true
		}
	}
	return false
}

// drop forgets a chunk that is the same as its object.
func (k *cache) drop(c *chunk) {
	k.change(c, func() { c.now = &image{full: true} })
	delete(k.chunks, c.number)
}

// touch notes that the chunk was used.
func (k *cache) touch(c *chunk) {
	if c.place != nil {
		k.recent.MoveToFront(c.place)
	}
}

// read copies the bytes of the chunk from at on to p, and says whether it has them.
// A chunk of which it knows nothing is zeroes if it is a hole.
func (k *cache) read(number int64, at int, p []byte, hole bool) bool {
	c := k.chunks[number]
	if c == nil {
		if hole {
			clear(p)
		}
		return hole
	}
	if !c.now.good(at, at+len(p)) {
		return false
	}
	k.touch(c)
	if c.now.data == nil {
		clear(p)
	} else {
		copy(p, c.now.data[at:])
	}
	return true
}

// write puts p into the chunk from at on, or n zeroes if p is nil. It says whether
// there was room.
func (k *cache) write(number int64, at int, p []byte, n int, hole bool) bool {
	c := k.chunks[number]
	zero := p == nil
	if zero && (c == nil && hole || c != nil && c.now.data == nil && c.now.full) {
		return true // it is zeroes already
	}
	if c == nil {
		c = &chunk{number: number, now: &image{full: hole}}
	}
	if zero && n == k.size {
		k.chunks[number] = c
		k.change(c, func() { c.now, c.dirty = &image{full: true}, true })
		return true
	}
	fresh := c.now.data == nil || c.now == c.frozen
	if (fresh || !c.dirty) && k.held >= k.mostHeld || fresh && !k.room(c) {
		return false
	}
	k.chunks[number] = c
	k.change(c, func() {
		if fresh {
			c.now = k.copyOf(c.now, n == k.size)
		}
		if zero {
			clear(c.now.data[at : at+n])
		} else {
			copy(c.now.data[at:], p)
		}
		if n == k.size {
			c.now.valid, c.now.full = nil, true
		} else if !c.now.full {
			c.now.valid = c.now.valid.add(at, at+n)
			c.now.full = c.now.valid.covers(0, k.size)
		}
		c.dirty = true
	})
	k.touch(c)
	return true
}

// copyOf is an image of its own that is the same as m. If all of it will be written,
// nothing is copied.
func (k *cache) copyOf(m *image, all bool) *image {
	n := &image{data: make([]byte, k.size), full: m.full}
	switch {
	case all:
	case m.data != nil:
		copy(n.data, m.data)
		n.valid = append(spans(nil), m.valid...)
	case m.full:
		clear(n.data)
	}
	return n
}

// fetch notes that the object of the chunk is asked for, and says whether there was
// room for it, and whether it must be asked for now.
func (k *cache) fetch(number int64) (c *chunk, ok, ask bool) {
	c = k.chunks[number]
	if c != nil && c.fetching {
		return c, true, false
	}
	if c == nil {
		if !k.room(nil) {
			return nil, false, false
		}
		c = &chunk{number: number, now: &image{}}
		k.chunks[number] = c
		k.change(c, func() { c.now.data = make([]byte, k.size) })
	}
	c.fetching = true
	return c, true, true
}

// wantsObject says whether something of the object is still missing. All of the chunk
// may have been written since the object was asked for, and another object may be in
// its place: then it is of no use, and may be gone.
func (c *chunk) wantsObject() bool {
	return c.fetching && (!c.now.full || c.frozen != nil && !c.frozen.full)
}

// fetched puts the object where the images of the chunk know nothing. The object's
// bytes are the cache's from then on.
func (k *cache) fetched(c *chunk, object []byte) {
	c.fetching = false
	if c.frozen != nil && !c.frozen.full {
		c.frozen.fill(object)
	}
	switch {
	case c.now.full:
	case len(c.now.valid) == 0:
		c.now.data, c.now.full = object, true
	default:
		c.now.fill(object)
	}
	k.tidy(c)
}

// failed notes that the object could not be had. What is known of the chunk stays.
func (k *cache) failed(c *chunk) {
	c.fetching = false
	if !c.dirty && c.frozen == nil && !c.now.full {
		k.drop(c)
	}
	k.tidy(c)
}

// tidy forgets a chunk of which there is nothing to know.
func (k *cache) tidy(c *chunk) {
	if !c.dirty && c.frozen == nil && !c.fetching && c.now.full && c.now.data == nil && k.chunks[c.number] == c {
		delete(k.chunks, c.number)
	}
}

// freeze makes what all dirty chunks hold now part of a checkpoint, and returns them.
func (k *cache) freeze() (all []*chunk) {
	for _, c := range k.chunks {
		if c.dirty {
			k.change(c, func() { c.frozen, c.dirty = c.now, false })
			all = append(all, c)
		}
	}
	return all
}

// published notes that the object of the chunk is what was frozen.
func (k *cache) published(c *chunk) {
	k.change(c, func() { c.frozen = nil })
	k.tidy(c)
}

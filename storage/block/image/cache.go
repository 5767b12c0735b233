package image

import (
	"container/list"
	"sync"
)

// A cache keeps byte slices, of which those that were used least recently make room.
// All images of a chain share one. What several want at the same time is made once.
// Besides what there is room for, there is as much under way as there are callers.
type cache struct {
	limit int64 // bytes

	mu      sync.Mutex // held for some instructions
	used    int64      // bytes
	entries map[key]*cached
	order   list.List // of *cached, the one used last in front
}

// A part is what of an image is kept.
type part uint8

const (
	partL1 part = iota
	partL2
	partCluster
)

// A key is the number of an image in its chain, and the offset of a piece of a table or
// the L2 entry of a compressed cluster.
type key struct {
	image int
	part  part
	of    uint64
}

// A cached is one entry. Bytes and err are set when ready is closed.
type cached struct {
	key   key
	size  int64
	ready chan struct{}
	bytes []byte
	err   error
	place *list.Element
}

func newCache(limit int64) *cache {
	return &cache{limit: limit, entries: map[key]*cached{}}
}

// get returns the entry of that key, for reading only. One that is not there fill
// makes, of size bytes. Errors are not kept.
func (c *cache) get(k key, size int, fill func() ([]byte, error)) ([]byte, error) {
	e, mine := c.enter(k, int64(size))
	if !mine {
		<-e.ready
		return e.bytes, e.err
	}
	e.bytes, e.err = fill()
	close(e.ready)
	if e.err != nil {
		c.drop(e)
	}
	return e.bytes, e.err
}

// enter finds the entry, or adds one that is the caller's to fill.
func (c *cache) enter(k key, size int64) (e *cached, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e = c.entries[k]; e != nil {
		c.order.MoveToFront(e.place)
		return e, false
	}
	for len(c.entries) > 0 && c.used+size > c.limit {
		c.remove(c.order.Back().Value.(*cached))
	}
	e = &cached{key: k, size: size, ready: make(chan struct{})}
	e.place = c.order.PushFront(e)
	c.entries[k] = e
	c.used += size
	return e, true
}

// drop forgets the entry, if it is still there.
func (c *cache) drop(e *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[e.key] == e {
		c.remove(e)
	}
}

func (c *cache) remove(e *cached) {
	c.order.Remove(e.place)
	delete(c.entries, e.key)
	c.used -= e.size
}

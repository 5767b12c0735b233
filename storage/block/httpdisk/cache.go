package httpdisk

import "container/list"

// A cache is the blocks that are there or on the way, of which those that were used
// least recently make room. There are as many on the way as there are requests, and
// room for twice as many.
type cache struct {
	room   int
	blocks map[int64]*cached
	order  list.List // of *cached, the one used last in front
	latest int64     // the block that was read last
	closed bool
}

// A cached is one block. Bytes and err are set when ready is closed.
type cached struct {
	number int64
	ready  chan struct{}
	bytes  []byte
	err    error
	place  *list.Element
}

func newCache(room int) *cache {
	return &cache{room: room, blocks: map[int64]*cached{}, latest: -2}
}

// find returns block i and notes that it was used, or nil.
func (c *cache) find(i int64) *cached {
	b := c.blocks[i]
	if b != nil {
		c.order.MoveToFront(b.place)
	}
	return b
}

// add makes an entry for block i, which is not there.
func (c *cache) add(i int64) *cached {
	for place := c.order.Back(); place != nil && len(c.blocks) >= c.room; {
		b, before := place.Value.(*cached), place.Prev()
		select {
		case <-b.ready:
			c.remove(b.number)
		default: // on the way
		}
		place = before
	}
	b := &cached{number: i, ready: make(chan struct{})}
	b.place = c.order.PushFront(b)
	c.blocks[i] = b
	return b
}

// remove forgets block i.
func (c *cache) remove(i int64) {
	if b := c.blocks[i]; b != nil {
		c.order.Remove(b.place)
		delete(c.blocks, i)
	}
}

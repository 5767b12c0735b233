package dns

import (
	"container/list"
	"time"
)

// A cache keeps answers for as long as they say, and the most recently used ones
// where there is no room for all.
type cache struct {
	max    int // entries; less than 1 means none
	order  list.List
	byName map[question]*list.Element // of *entry
	stats  *Stats
}

type entry struct {
	question
	answer  answer
	expires time.Time
}

func newCache(max int, stats *Stats) *cache {
	return &cache{max: max, byName: map[question]*list.Element{}, stats: stats}
}

// get is the answer to q that still holds.
func (c *cache) get(now time.Time, q question) (answer, bool) {
	e := c.byName[q]
	if e == nil {
		return answer{}, false
	}
	if !now.Before(e.Value.(*entry).expires) {
		c.remove(e)
		return answer{}, false
	}
	c.order.MoveToFront(e)
	c.stats.CacheHits.Add(1)
	return e.Value.(*entry).answer, true
}

// put keeps an answer to q for ttl.
func (c *cache) put(now time.Time, q question, a answer, ttl time.Duration) {
	if old := c.byName[q]; old != nil {
		c.remove(old)
	}
	if ttl <= 0 || c.max < 1 {
		return
	}
	if c.order.Len() >= c.max {
		c.remove(c.order.Back())
		c.stats.Evicted.Add(1)
	}
	c.byName[q] = c.order.PushFront(&entry{q, a, now.Add(ttl)})
}

func (c *cache) remove(e *list.Element) {
	c.order.Remove(e)
	delete(c.byName, e.Value.(*entry).question)
}

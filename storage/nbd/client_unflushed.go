package nbd

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

var errAbandoned = errors.New("nbd: the call was given up")

// unflushed knows which writes a server has acknowledged and no FLUSH has made
// durable since, and, where they are to be sent again after a loss, what they wrote.
type unflushed struct {
	keep  bool           // copies
	limit int64          // bytes of copies
	any   unflushedWrite // stands for each where copies are not kept

	mu      sync.Mutex
	writes  []*unflushedWrite // in the order in which they began, where copies are kept
	held    int64             // bytes
	acked   uint64            // writes
	flushed uint64            // of acked, how many are durable
	lost    error             // why the next Sync must fail
	losses  uint64            // how often writes were lost
	last    error             // why they were, the last time
}

// An unflushedWrite is a request that changes the device, from its beginning on.
type unflushedWrite struct {
	req   request
	data  []byte
	acked bool
	cost  int64
}

// entryCost is what a write without data counts for.
const entryCost = 256

// begin notes a request that will change the device. Where there is no room for its
// copy, ok is false, and a flush must come first.
func (u *unflushed) begin(r request, payload []byte) (w *unflushedWrite, ok bool) {
	if !u.keep {
		if r.flags&cmdFlagFUA != 0 {
			return nil, true
		}
		return &u.any, true
	}
	cost := entryCost + int64(len(payload))
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.held > 0 && u.held+cost > u.limit {
		return nil, false
	}
	w = &unflushedWrite{req: r, data: append([]byte(nil), payload...), cost: cost}
	u.writes = append(u.writes, w)
	u.held += cost
	return w, true
}

// ended notes how the request ended.
func (u *unflushed) ended(w *unflushedWrite, err error) {
	if w == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		w.acked = true
		u.acked++
		return
	}
	for i, e := range u.writes {
		if e == w {
			u.writes = append(u.writes[:i], u.writes[i+1:]...)
			u.held -= w.cost
			break
		}
	}
}

// A flushMark is what a FLUSH that begins now makes durable.
type flushMark struct {
	acked  uint64
	losses uint64
	writes []*unflushedWrite
}

// mark is called before a FLUSH is sent. It fails if writes were lost before.
func (u *unflushed) mark() (m flushMark, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	m.acked, m.losses = u.acked, u.losses
	for _, w := range u.writes {
		if w.acked {
			m.writes = append(m.writes, w)
		}
	}
	return m, u.lost
}

// told is called when a Sync has failed: loss is told once.
func (u *unflushed) told(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.lost == err {
		u.lost = nil
	}
}

// durable is called when the FLUSH has succeeded. Writes may have been lost while it
// was under way: of that each Sync that began before it must tell, also where another
// one has told already.
func (u *unflushed) durable(m flushMark) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.losses != m.losses {
		return u.last
	}
	u.flushed = max(u.flushed, m.acked)
	u.drop(m.writes)
	return nil
}

// forget drops the copies of writes that are durable or lost.
func (u *unflushed) forget(writes []*unflushedWrite) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop(writes)
}

func (u *unflushed) drop(writes []*unflushedWrite) {
	if len(writes) == 0 {
		return
	}
	gone := make(map[*unflushedWrite]bool, len(writes))
	for _, w := range writes {
		gone[w] = true
	}
	rest := u.writes[:0]
	for _, w := range u.writes {
		if gone[w] {
			u.held -= w.cost
		} else {
			rest = append(rest, w)
		}
	}
	clear(u.writes[len(rest):])
	u.writes = rest
}

// refused is called when the server has refused what was sent again.
func (u *unflushed) refused(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lose(err)
}

// reconnected is called when a connection was lost: without copies, what was
// acknowledged and not flushed may be gone.
func (u *unflushed) reconnected(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.keep && u.acked > u.flushed {
		u.flushed = u.acked
		u.lose(err)
	}
}

// lose notes that writes are lost, with the mutex.
func (u *unflushed) lose(err error) {
	u.lost, u.last = err, err
	u.losses++
}

// strays are the ranges of changes that were given up by their callers and may still
// happen. Other calls of the same ranges wait.
type strays struct {
	count atomic.Int32
	mu    sync.Mutex
	spans []span
	less  chan struct{} // closed when one goes; nil if nobody waits
}

func (s *strays) add(r span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans = append(s.spans, r)
	s.count.Add(1)
}

func (s *strays) remove(r span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.spans {
		if e == r {
			s.spans = append(s.spans[:i], s.spans[i+1:]...)
			s.count.Add(-1)
			break
		}
	}
	if s.less != nil {
		close(s.less)
		s.less = nil
	}
}

// wait returns when no stray overlaps the range, the context has ended, or dead is
// closed.
func (s *strays) wait(ctx context.Context, off, length uint64, dead <-chan struct{}) error {
	for s.count.Load() > 0 {
		s.mu.Lock()
		hit := false
		for _, e := range s.spans {
			hit = hit || e.lo < off+length && off < e.hi
		}
		if !hit {
			s.mu.Unlock()
			return nil
		}
		if s.less == nil {
			s.less = make(chan struct{})
		}
		less := s.less
		s.mu.Unlock()
		select {
		case <-less:
		case <-ctx.Done():
			return ctx.Err()
		case <-dead:
			return nil
		}
	}
	return nil
}

package virtqueue

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A splitDriver is the driver's side of a split queue (VIRTIO 1.2 section 2.7).
type splitDriver struct {
	*parts
	next     []uint16 // behind each descriptor: in its chain, or of those that are free
	length   []uint16 // of the chain that begins with each descriptor; 0: none under way
	head     uint16   // the first that is free
	nfree    int
	avail    uint16 // the next entry to write
	shown    uint16 // idx of the available ring
	flags    uint16 // of the available ring
	lastUsed uint16 // the next entry to take
	kicked   bool   // there was a publish
}

func newSplitDriver(p *parts) *splitDriver {
	q := &splitDriver{parts: p, next: make([]uint16, p.size), length: make([]uint16, p.size), nfree: p.size}
	for i := range q.next {
		q.next[i] = uint16(i + 1)
	}
	return q
}

func (q *splitDriver) free() int { return q.nfree }

func (q *splitDriver) nextID() uint16 { return q.head }

func (q *splitDriver) add(spans []Span, readable int, indirect bool) uint16 {
	id, i := q.head, q.head
	for k, s := range spans {
		flags := spanFlags(k, len(spans), readable)
		if indirect {
			flags = flagIndirect
		}
		at := 16 * int(i)
		binary.LittleEndian.PutUint64(q.desc[at:], s.Addr) // publish shows it
		binary.LittleEndian.PutUint64(q.desc[at+8:], uint64(s.Len)|uint64(flags)<<32|uint64(q.next[i])<<48)
		i = q.next[i]
	}
	q.head = i
	q.nfree -= len(spans)
	q.length[id] = uint16(len(spans))
	binary.LittleEndian.PutUint16(q.driver[4+2*(int(q.avail)&(q.size-1)):], id)
	q.avail++
	return id
}

func (q *splitDriver) publish() (kick bool) {
	old := q.shown
	q.shown = q.avail
	q.storeHead()
	first := !q.kicked
	q.kicked = true
	if q.event {
		return first || needEvent(memory.Load16(q.device, 4+8*q.size), q.shown, old)
	}
	return memory.Load16(q.device, 0)&usedNoNotify == 0
}

func (q *splitDriver) storeHead() {
	memory.Store32(q.driver, 0, uint32(q.flags)|uint32(q.shown)<<16)
}

func (q *splitDriver) take() (id uint16, written uint32, ok bool, err error) {
	idx := memory.Load16(q.device, 2)
	if idx == q.lastUsed {
		return 0, 0, false, nil
	}
	if n := idx - q.lastUsed; int(n) > q.size {
		return 0, 0, false, fmt.Errorf("%w: %d entries", ErrUsed, n)
	}
	at := 4 + 8*(int(q.lastUsed)&(q.size-1))
	name, written := memory.Load32(q.device, at), memory.Load32(q.device, at+4)
	if name >= uint32(q.size) || q.length[name] == 0 {
		return 0, 0, false, fmt.Errorf("%w: the chain %d", ErrUsed, name)
	}
	q.lastUsed++
	id = uint16(name)
	last := id
	for range q.length[id] - 1 {
		last = q.next[last]
	}
	q.next[last] = q.head
	q.head = id
	q.nfree += int(q.length[id])
	q.length[id] = 0
	return id, written, true, nil
}

func (q *splitDriver) arm() bool {
	if q.event {
		memory.Store16(q.driver, 4+2*q.size, q.lastUsed)
	} else {
		q.flags &^= availNoInterrupt
		q.storeHead()
	}
	return memory.Load16(q.device, 2) != q.lastUsed
}

func (q *splitDriver) disarm() {
	if !q.event && q.flags&availNoInterrupt == 0 {
		q.flags |= availNoInterrupt
		q.storeHead()
	}
}

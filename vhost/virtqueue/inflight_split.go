package virtqueue

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A splitTrack notes in memory that outlives this process which chains of a split
// queue are in flight, so that the device after this one takes them again, once
// (vhost-user, section "Inflight I/O tracking", QueueRegionSplit):
//
//	0        8       10       12              14        16
//	+--------+-------+--------+---------------+---------+------------------
//	|features|version|desc_num|last_batch_head|used_idx | an entry for each
//	+--------+-------+--------+---------------+---------+------------------
//
// An entry is inflight (1 byte, 5 unused), next (2), counter (8). What one store
// changes is whole at whatever instant the process ends.
type splitTrack struct {
	b       []byte
	size    int
	counter uint64   // of the next chain that is taken
	batch   []uint16 // put and not shown
	resume  []uint16 // in flight when the device before ended, in order
}

const (
	inflightVersion = 1
	splitHeaderLen  = 16
	splitEntryLen   = 16
)

func (q *splitDevice) inflightLen() int { return splitHeaderLen + splitEntryLen*q.size }

func (t *splitTrack) entry(head uint16) int { return splitHeaderLen + splitEntryLen*int(head) }

func (q *splitDevice) attach(b []byte) error {
	t := &splitTrack{b: b, size: q.size, batch: make([]uint16, 0, q.size)}
	if memory.Load16(b, 8) == 0 { // new
		memory.Store16(b, 10, uint16(q.size))
		memory.Store16(b, 14, q.used)
		memory.Store16(b, 8, inflightVersion)
	}
	if v, n := memory.Load16(b, 8), memory.Load16(b, 10); v != inflightVersion || int(n) != q.size {
		return fmt.Errorf("%w: version %d, %d descriptors", ErrInflight, v, n)
	}
	if err := t.settle(q.used); err != nil {
		return err
	}
	type one struct {
		head    uint16
		counter uint64
	}
	var all []one
	for i := range q.size {
		if at := t.entry(uint16(i)); memory.Load16(b, at)&0xff != 0 {
			all = append(all, one{uint16(i), memory.Load64(b, at+8)})
		}
	}
	slices.SortFunc(all, func(a, b one) int { return cmp.Compare(a.counter, b.counter) })
	for _, o := range all {
		t.resume = append(t.resume, o.head)
		t.counter = o.counter + 1
	}
	q.lastAvail = q.used + uint16(len(all))
	q.avail = q.lastAvail
	q.track = t
	return nil
}

// settle finishes a flush that had shown used entries and then ended: their
// chains are not in flight.
func (t *splitTrack) settle(used uint16) error {
	n := used - memory.Load16(t.b, 14)
	if int(n) > t.size {
		return fmt.Errorf("%w: %d entries were used", ErrInflight, n)
	}
	for head := memory.Load16(t.b, 12); n > 0; n-- {
		if int(head) >= t.size {
			return fmt.Errorf("%w: the batch has the entry %d", ErrInflight, head)
		}
		at := t.entry(head)
		memory.Store16(t.b, at, 0)
		head = memory.Load16(t.b, at+6)
	}
	memory.Store16(t.b, 14, used)
	return nil
}

// again returns the next chain that was in flight.
func (t *splitTrack) again() (head uint16, ok bool) {
	if len(t.resume) == 0 {
		return 0, false
	}
	head, t.resume = t.resume[0], t.resume[1:]
	return head, true
}

func (t *splitTrack) take(head uint16) {
	at := t.entry(head)
	memory.Store64(t.b, at+8, t.counter)
	memory.Store16(t.b, at, 1)
	t.counter++
}

func (t *splitTrack) put(head uint16) {
	memory.Store16(t.b, t.entry(head)+6, memory.Load16(t.b, 12))
	memory.Store16(t.b, 12, head)
	t.batch = append(t.batch, head)
}

// shown says that the driver sees what was put.
func (t *splitTrack) shown(used uint16) {
	for _, head := range t.batch {
		memory.Store16(t.b, t.entry(head), 0)
	}
	t.batch = t.batch[:0]
	memory.Store16(t.b, 14, used)
}

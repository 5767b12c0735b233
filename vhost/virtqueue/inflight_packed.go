package virtqueue

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A packedTrack is what a splitTrack is, of a packed queue, and keeps the
// descriptors too, since used ones overwrite them in the ring (vhost-user,
// QueueRegionPacked):
//
//	0        8       10       12        14            16       18           20 21  32
//	+--------+-------+--------+---------+-------------+--------+------------+-+-+---+---
//	|features|version|desc_num|free_head|old_free_head|used_idx|old_used_idx|w|o|   |
//	+--------+-------+--------+---------+-------------+--------+------------+-+-+---+---
//
// and an entry for each descriptor: inflight (1 byte, 1 unused), next, last, num
// (2 each), counter (8), id, flags (2 each), len (4), addr (8). Entries that are
// free are linked by next, and those of a chain too; next of the last free one is
// the size. The fields named old are what holds when the process ends within a
// change of the others.
//
// A nil packedTrack notes nothing.
type packedTrack struct {
	b       []byte
	size    int
	counter uint64   // of the next chain that is taken
	head    uint16   // the entry of the chain that is being taken
	batch   []uint16 // entries put and not shown
	resume  []inflightChain
}

// An inflightChain was in flight when the device before ended.
type inflightChain struct {
	entry   uint16
	counter uint64
	all     []descriptor
}

const (
	packedHeaderLen = 32
	packedEntryLen  = 32

	atFreeHead, atOldFreeHead = 12, 14
	atUsed                    = 16 // used_idx, old_used_idx and both wrap counters: one word, which changes whole

	atNext, atLast, atNum, atCounter, atID, atAddr = 2, 4, 6, 8, 16, 24
)

func (q *packedDevice) inflightLen() int { return packedHeaderLen + packedEntryLen*q.size }

func (t *packedTrack) get(at int) uint16    { return memory.Load16(t.b, at) }
func (t *packedTrack) set(at int, v uint16) { memory.Store16(t.b, at, v) }
func (t *packedTrack) entry(i uint16) int   { return packedHeaderLen + packedEntryLen*int(i) }

func (q *packedDevice) attach(b []byte) error {
	t := &packedTrack{b: b, size: q.size, batch: make([]uint16, 0, q.size)}
	if t.get(8) == 0 { // new
		t.format(q.used)
	}
	if v, n := t.get(8), t.get(10); v != inflightVersion || int(n) != q.size {
		return fmt.Errorf("%w: version %d, %d descriptors", ErrInflight, v, n)
	}
	used := t.settle(q)
	if used.at >= q.size {
		return fmt.Errorf("%w: used is at %d", ErrInflight, used.at)
	}
	if err := t.collect(); err != nil {
		return err
	}
	q.used, q.avail, q.slots = used, used, 0
	for _, c := range t.resume {
		q.slots += len(c.all)
	}
	if q.slots > q.size {
		return fmt.Errorf("%w: %d descriptors are in flight", ErrInflight, q.slots)
	}
	q.avail = used.add(q.slots, q.size)
	q.track = t
	return nil
}

// format makes everything free.
func (t *packedTrack) format(used position) {
	t.set(10, uint16(t.size))
	for i := range t.size {
		t.set(t.entry(uint16(i))+atNext, uint16(i+1))
	}
	t.set(atFreeHead, 0)
	t.set(atOldFreeHead, 0)
	t.setUsed(used, used)
	t.set(8, inflightVersion)
}

// setUsed writes used_idx with its wrap counter, and the old ones.
func (t *packedTrack) setUsed(now, old position) {
	word := uint64(now.at) | uint64(old.at)<<16
	if now.wrap {
		word |= 1 << 32
	}
	if old.wrap {
		word |= 1 << 40
	}
	memory.Store64(t.b, atUsed, word)
}

// positions reads what setUsed has written.
func (t *packedTrack) positions() (now, old position) {
	word := memory.Load64(t.b, atUsed)
	return position{int(uint16(word)), word>>32&0xff != 0}, position{int(uint16(word >> 16)), word>>40&0xff != 0}
}

// settle finishes a flush that had shown used entries and then ended, or undoes
// what was not shown. It returns where the next used one goes.
func (t *packedTrack) settle(q *packedDevice) position {
	now, old := t.positions()
	if now != old && old.at < t.size && now.at < t.size {
		flags := uint16(memory.Load32(q.desc, 16*old.at+12) >> 16)
		if flags&(flagAvail|flagUsed) != old.available() {
			t.set(atOldFreeHead, t.get(atFreeHead))
			old = now
		}
	}
	// Entries behind the first may have been written. The driver must not take them
	// for used ones when the first one is.
	for p := old; p != now && old.at < t.size && now.at < t.size; p = p.add(1, t.size) {
		memory.Store32(q.desc, 16*p.at+12, uint32(p.available())<<16)
	}
	t.set(atFreeHead, t.get(atOldFreeHead))
	t.setUsed(old, old)
	return old
}

// collect finds what is in flight: what says so and is not free.
func (t *packedTrack) collect() error {
	steps := 0
	for i := t.get(atFreeHead); int(i) < t.size; i = t.get(t.entry(i) + atNext) {
		t.set(t.entry(i), 0)
		if steps++; steps > t.size {
			return fmt.Errorf("%w: a loop of free entries", ErrInflight)
		}
	}
	for i := range uint16(t.size) {
		at := t.entry(i)
		if t.get(at)&0xff == 0 {
			continue
		}
		c := inflightChain{entry: i, counter: memory.Load64(t.b, at+atCounter)}
		for j, n := i, int(t.get(at+atNum)); n > 0; n-- {
			if int(j) >= t.size || len(c.all) == t.size {
				return fmt.Errorf("%w: the chain of entry %d", ErrInflight, i)
			}
			c.all = append(c.all, t.load(j))
			j = t.get(t.entry(j) + atNext)
		}
		if len(c.all) == 0 {
			return fmt.Errorf("%w: the chain of entry %d is empty", ErrInflight, i)
		}
		t.resume = append(t.resume, c)
	}
	slices.SortFunc(t.resume, func(a, b inflightChain) int { return cmp.Compare(a.counter, b.counter) })
	if n := len(t.resume); n > 0 {
		t.counter = t.resume[n-1].counter + 1
	}
	return nil
}

func (t *packedTrack) load(i uint16) descriptor {
	at := t.entry(i)
	word := memory.Load64(t.b, at+atID)
	return descriptor{link: uint16(word), flags: uint16(word >> 16), len: uint32(word >> 32), addr: memory.Load64(t.b, at+atAddr)}
}

func (t *packedTrack) again() (c inflightChain, ok bool) {
	if t == nil || len(t.resume) == 0 {
		return c, false
	}
	c, t.resume = t.resume[0], t.resume[1:]
	return c, true
}

// note adds a descriptor to the chain that is being taken, first or not.
func (t *packedTrack) note(d descriptor, first bool) {
	if t == nil {
		return
	}
	free := t.get(atFreeHead)
	if first {
		t.head = free
		at := t.entry(free)
		t.set(at+atNum, 0)
		memory.Store64(t.b, at+atCounter, t.counter)
		t.set(at, 1)
		t.counter++
	}
	at := t.entry(free)
	memory.Store64(t.b, at+atID, uint64(d.link)|uint64(d.flags)<<16|uint64(d.len)<<32)
	memory.Store64(t.b, at+atAddr, d.addr)
	t.set(t.entry(t.head)+atLast, free)
	t.set(t.entry(t.head)+atNum, t.get(t.entry(t.head)+atNum)+1)
	t.set(atFreeHead, t.get(at+atNext))
}

// take says that the chain is whole, and returns its entry.
func (t *packedTrack) take() uint16 {
	if t == nil {
		return 0
	}
	t.set(atOldFreeHead, t.get(atFreeHead))
	return t.head
}

func (t *packedTrack) put(entry uint16) {
	if t != nil {
		t.batch = append(t.batch, entry)
	}
}

// showing says that the driver is about to see what was put. Entries become free
// only now: a chain that is taken between makes what is free at that time hold.
func (t *packedTrack) showing(used position) {
	if t == nil {
		return
	}
	for _, e := range t.batch {
		t.set(t.entry(t.get(t.entry(e)+atLast))+atNext, t.get(atFreeHead))
		t.set(atFreeHead, e)
	}
	_, old := t.positions()
	t.setUsed(used, old)
}

// shown says that the driver sees it.
func (t *packedTrack) shown() {
	if t == nil {
		return
	}
	for _, e := range t.batch {
		t.set(t.entry(e), 0)
	}
	t.batch = t.batch[:0]
	t.set(atOldFreeHead, t.get(atFreeHead))
	now, _ := t.positions()
	t.setUsed(now, now)
}

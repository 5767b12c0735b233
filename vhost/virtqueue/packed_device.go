package virtqueue

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A position is a place in a packed ring, with the wrap counter that belongs to
// it (VIRTIO 1.2 section 2.8.1).
type position struct {
	at   int
	wrap bool
}

// add returns the position n places further, n being at most the size.
func (p position) add(n, size int) position {
	if p.at += n; p.at >= size {
		p.at -= size
		p.wrap = !p.wrap
	}
	return p
}

// before is how many places p is behind q, or at least size if it cannot be.
func (p position) before(q position, size int) int {
	switch n := q.at - p.at; {
	case p.wrap != q.wrap:
		return n + size
	case n < 0:
		return size
	default:
		return n
	}
}

// word is a position as event suppression and messages have it.
func (p position) word() uint16 {
	if p.wrap {
		return uint16(p.at) | 1<<15
	}
	return uint16(p.at)
}

func positionOf(word uint16) position { return position{int(word & (1<<15 - 1)), word>>15 != 0} }

// available is the flags of a descriptor that the driver offers at p, and used of
// one that the device has returned (VIRTIO 1.2 section 2.8.1.1).
func (p position) available() uint16 {
	if p.wrap {
		return flagAvail
	}
	return flagUsed
}

func (p position) used() uint16 {
	if p.wrap {
		return flagAvail | flagUsed
	}
	return 0
}

// Event suppression (VIRTIO 1.2 section 2.8.10): a position in the lower half of
// a word, and one of these in the upper.
const (
	eventEnable  = 0
	eventDisable = 1
	eventDesc    = 2
)

// wantsEvent says whether who wrote that word wants to be notified of the count
// places before next.
func wantsEvent(word uint32, next position, count, size int) bool {
	switch word >> 16 & 3 {
	case eventEnable:
		return true
	case eventDesc:
		p := positionOf(uint16(word))
		event := p.at
		if p.wrap != next.wrap {
			event -= size
		}
		return needEvent(uint16(event), uint16(next.at), uint16(next.at-count))
	}
	return false
}

// A packedDevice is the device's side of a packed queue (VIRTIO 1.2 section 2.8):
// one ring of descriptors, which both sides write.
type packedDevice struct {
	*parts
	avail position // the next descriptor to take
	used  position // the next one to write
	slots int      // places of chains that were taken and not put back
	count int      // places of chains that were put back and not shown
	batch []usedEntry
	quiet bool // notifications are disabled
	track *packedTrack
}

// A usedEntry is one that is to be shown.
type usedEntry struct {
	at      int
	written uint32
	word    uint32 // id and flags
}

func newPackedDevice(p *parts, base uint32) (*packedDevice, error) {
	q := &packedDevice{parts: p, avail: positionOf(uint16(base)), used: positionOf(uint16(base >> 16)), batch: make([]usedEntry, 0, p.size)}
	if q.avail.at >= p.size || q.used.at >= p.size {
		return nil, fmt.Errorf("%w: the base %#x", ErrConfig, base)
	}
	// Some front ends (virtio-user of DPDK 22.11) tell only where the driver is. A
	// queue that was stopped has nothing under way, and never all of it.
	if q.used.before(q.avail, p.size) >= p.size {
		q.used = q.avail
	}
	return q, nil
}

func (q *packedDevice) next(c *Chain) (bool, error) {
	d := q.packedDescriptor(q.desc, q.avail.at)
	if d.flags&(flagAvail|flagUsed) != q.avail.available() {
		return false, nil
	}
	for c.slots = 0; ; {
		if c.slots == q.size {
			return false, ErrLoop
		}
		if q.slots+c.slots == q.size {
			return false, ErrFlood
		}
		q.track.note(d, c.slots == 0)
		c.slots++
		if err := q.addAny(c, d); err != nil {
			return false, err
		}
		if d.flags&flagNext == 0 {
			break
		}
		d = q.packedDescriptor(q.desc, q.avail.add(c.slots, q.size).at)
	}
	c.id = d.link // that of the last one (VIRTIO 1.2 section 2.8.6)
	q.slots += c.slots
	q.avail = q.avail.add(c.slots, q.size)
	c.entry = q.track.take()
	return true, nil
}

func (q *packedDevice) addAny(c *Chain, d descriptor) error {
	if d.flags&flagIndirect != 0 {
		return q.addPacked(c, d)
	}
	return q.add(c, d)
}

func (q *packedDevice) again(c *Chain) (bool, error) {
	old, ok := q.track.again()
	if !ok {
		return false, nil
	}
	c.entry, c.slots = old.entry, len(old.all)
	for _, d := range old.all {
		c.id = d.link
		if err := q.addAny(c, d); err != nil {
			return true, err
		}
	}
	return true, nil
}

func (q *packedDevice) put(c *Chain, written uint32) {
	word := uint32(c.id) | uint32(q.used.used())<<16
	if written > 0 {
		word |= flagWrite << 16
	}
	q.batch = append(q.batch, usedEntry{q.used.at, written, word})
	q.track.put(c.entry)
	q.count += c.slots
	q.slots -= c.slots
	q.used = q.used.add(c.slots, q.size)
}

func (q *packedDevice) usedPending() int { return len(q.batch) }

// flush shows the first entry last: the driver looks at no other before it.
func (q *packedDevice) flush() (notify bool) {
	q.track.showing(q.used)
	for _, e := range q.batch[1:] {
		q.show(e)
	}
	q.showAll(q.batch[0])
	q.track.shown()
	count := q.count
	q.batch, q.count = q.batch[:0], 0
	return wantsEvent(memory.Load32(q.driver, 0), q.used, count, q.size)
}

// show writes a used entry behind the first.
func (q *packedDevice) show(e usedEntry) {
	binary.LittleEndian.PutUint32(q.desc[16*e.at+8:], e.written)
	binary.LittleEndian.PutUint32(q.desc[16*e.at+12:], e.word)
	q.markEntry(e)
}

// showAll writes the first used entry, behind what is written of all others.
func (q *packedDevice) showAll(e usedEntry) {
	binary.LittleEndian.PutUint32(q.desc[16*e.at+8:], e.written)
	memory.Store32(q.desc, 16*e.at+12, e.word)
	q.markEntry(e)
}

// markEntry notes in the log that a used entry was written. The address that the front
// end gives for the log is the one of event suppression, so it is not used here.
func (q *packedDevice) markEntry(e usedEntry) {
	if q.ringLog != nil {
		q.ringLog.Mark(q.descAt+uint64(16*e.at), 16)
	}
}

// suppress writes what the driver is to notify of.
func (q *packedDevice) suppress(word uint32) {
	memory.Store32(q.device, 0, word)
	if q.ringLog != nil {
		q.ringLog.Mark(q.ringAt, 4)
	}
}

func (q *packedDevice) arm() bool {
	q.quiet = false
	if q.event {
		q.suppress(uint32(q.avail.word()) | eventDesc<<16)
	} else {
		q.suppress(eventEnable << 16)
	}
	return q.ready()
}

func (q *packedDevice) ready() bool {
	flags := uint16(memory.Load32(q.desc, 16*q.avail.at+12) >> 16)
	return flags&(flagAvail|flagUsed) == q.avail.available()
}

func (q *packedDevice) disarm() {
	if !q.quiet {
		q.quiet = true
		q.suppress(eventDisable << 16)
	}
}

func (q *packedDevice) base() uint32 {
	return uint32(q.avail.word()) | uint32(q.used.word())<<16
}

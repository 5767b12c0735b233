package virtqueue

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A packedDriver is the driver's side of a packed queue (VIRTIO 1.2 section 2.8).
type packedDriver struct {
	*parts
	ids    []uint16 // that are free; the last one is next
	length []uint16 // of the chain with each id; 0: none under way
	nfree  int
	avail  position // the next descriptor to write
	used   position // the next one to take
	first  position // of those that were written and not published
	word   uint32   // id and flags of that one, which show all
	count  int      // places that were written and not published
}

func newPackedDriver(p *parts) *packedDriver {
	q := &packedDriver{parts: p, length: make([]uint16, p.size), nfree: p.size, avail: position{wrap: true}, used: position{wrap: true}}
	for i := range p.size {
		q.ids = append(q.ids, uint16(p.size-1-i))
	}
	return q
}

func (q *packedDriver) free() int { return q.nfree }

func (q *packedDriver) nextID() uint16 { return q.ids[len(q.ids)-1] }

func (q *packedDriver) add(spans []Span, readable int, indirect bool) uint16 {
	id := q.nextID()
	q.ids = q.ids[:len(q.ids)-1]
	for k, s := range spans {
		flags := spanFlags(k, len(spans), readable)
		if indirect {
			flags = flagIndirect
		}
		at := 16 * q.avail.at
		word := uint32(id) | uint32(flags|q.avail.available())<<16
		binary.LittleEndian.PutUint64(q.desc[at:], s.Addr) // publish shows it
		binary.LittleEndian.PutUint32(q.desc[at+8:], s.Len)
		if q.count == 0 {
			q.first, q.word = q.avail, word
		} else {
			binary.LittleEndian.PutUint32(q.desc[at+12:], word)
		}
		q.count++
		q.avail = q.avail.add(1, q.size)
	}
	q.nfree -= len(spans)
	q.length[id] = uint16(len(spans))
	return id
}

func (q *packedDriver) publish() (kick bool) {
	memory.Store32(q.desc, 16*q.first.at+12, q.word)
	count := q.count
	q.count = 0
	return wantsEvent(memory.Load32(q.device, 0), q.avail, count, q.size)
}

func (q *packedDriver) take() (id uint16, written uint32, ok bool, err error) {
	if q.nfree == q.size {
		return 0, 0, false, nil // what lies there is older
	}
	d := q.packedDescriptor(q.desc, q.used.at)
	if d.flags&(flagAvail|flagUsed) != q.used.used() {
		return 0, 0, false, nil
	}
	if int(d.link) >= q.size || q.length[d.link] == 0 {
		return 0, 0, false, fmt.Errorf("%w: the buffer %d", ErrUsed, d.link)
	}
	n := int(q.length[d.link])
	q.length[d.link] = 0
	q.nfree += n
	q.ids = append(q.ids, d.link)
	q.used = q.used.add(n, q.size)
	return d.link, d.len, true, nil
}

func (q *packedDriver) arm() bool {
	if q.event {
		memory.Store32(q.driver, 0, uint32(q.used.word())|eventDesc<<16)
	} else {
		memory.Store32(q.driver, 0, eventEnable<<16)
	}
	if q.nfree == q.size {
		return false
	}
	flags := uint16(memory.Load32(q.desc, 16*q.used.at+12) >> 16)
	return flags&(flagAvail|flagUsed) == q.used.used()
}

func (q *packedDriver) disarm() { memory.Store32(q.driver, 0, eventDisable<<16) }

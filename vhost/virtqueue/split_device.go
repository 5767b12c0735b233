package virtqueue

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A splitDevice is the device's side of a split queue (VIRTIO 1.2 section 2.7).
//
// The available ring is flags, idx, an entry of 2 bytes for each descriptor, and
// used_event. The used ring is flags, idx, an entry of 8 bytes for each, and
// avail_event.
type splitDevice struct {
	*parts
	lastAvail uint16 // the next entry to take
	avail     uint16 // idx, as it was last read
	used      uint16 // the next entry to write
	shown     uint16 // idx of the used ring, as it was last written
	flags     uint16 // of the used ring
	notified  bool   // there was a flush: shown is what the driver has seen from us
	track     *splitTrack
}

const (
	availNoInterrupt = 1 // VIRTQ_AVAIL_F_NO_INTERRUPT
	usedNoNotify     = 1 // VIRTQ_USED_F_NO_NOTIFY
)

func newSplitDevice(p *parts, base uint16) *splitDevice {
	word := memory.Load32(p.device, 0) // the device goes on behind what is used (vhost-user, SET_VRING_BASE)
	used := uint16(word >> 16)
	return &splitDevice{parts: p, lastAvail: base, avail: base, used: used, shown: used, flags: uint16(word)}
}

// look reads how much is available.
func (q *splitDevice) look() error {
	q.avail = memory.Load16(q.driver, 2)
	if n := q.avail - q.lastAvail; int(n) > q.size {
		return fmt.Errorf("%w: %d of %d", ErrIndex, n, q.size)
	}
	return nil
}

func (q *splitDevice) next(c *Chain) (bool, error) {
	if q.lastAvail == q.avail {
		if err := q.look(); err != nil || q.lastAvail == q.avail {
			return false, err
		}
	}
	head := memory.Load16(q.driver, 4+2*(int(q.lastAvail)&(q.size-1)))
	if int(head) >= q.size {
		return false, fmt.Errorf("%w: %d", ErrHead, head)
	}
	c.id = head
	if err := q.addSplit(c, q.desc, int(head), false); err != nil {
		return false, err
	}
	q.lastAvail++
	if q.track != nil {
		q.track.take(head)
	}
	return true, nil
}

func (q *splitDevice) again(c *Chain) (bool, error) {
	if q.track == nil {
		return false, nil
	}
	head, ok := q.track.again()
	if !ok {
		return false, nil
	}
	c.id = head
	return true, q.addSplit(c, q.desc, int(head), false)
}

func (q *splitDevice) put(c *Chain, written uint32) {
	at := 4 + 8*(int(q.used)&(q.size-1))
	binary.LittleEndian.PutUint32(q.device[at:], uint32(c.id)) // flush publishes it
	binary.LittleEndian.PutUint32(q.device[at+4:], written)
	q.markRing(at, 8)
	q.used++
	if q.track != nil {
		q.track.put(c.id)
	}
}

func (q *splitDevice) usedPending() int { return int(q.used - q.shown) }

func (q *splitDevice) flush() (notify bool) {
	old := q.shown
	q.shown = q.used
	q.storeHead()
	if q.track != nil {
		q.track.shown(q.used)
	}
	first := !q.notified
	q.notified = true
	if q.event {
		event := memory.Load16(q.driver, 4+2*q.size)
		return first || needEvent(event, q.used, old)
	}
	return memory.Load16(q.driver, 0)&availNoInterrupt == 0
}

// storeHead writes flags and idx of the used ring, which are one aligned word.
func (q *splitDevice) storeHead() {
	memory.Store32(q.device, 0, uint32(q.flags)|uint32(q.shown)<<16)
	q.markRing(0, 4)
}

func (q *splitDevice) arm() bool {
	if q.event {
		memory.Store16(q.device, 4+8*q.size, q.lastAvail)
		q.markRing(4+8*q.size, 2)
	} else if q.flags &^= usedNoNotify; true {
		q.storeHead()
	}
	return q.ready()
}

func (q *splitDevice) ready() bool { return memory.Load16(q.driver, 2) != q.lastAvail }

func (q *splitDevice) disarm() {
	// With an event index the driver notifies when idx passes it, which it does
	// once in 65536 entries after that.
	if !q.event && q.flags&usedNoNotify == 0 {
		q.flags |= usedNoNotify
		q.storeHead()
	}
}

func (q *splitDevice) base() uint32 { return uint32(q.lastAvail) }

// markRing notes in the log that n bytes of the used ring were written.
func (q *splitDevice) markRing(at, n int) {
	if q.ringLog != nil {
		q.ringLog.Mark(q.ringAt+uint64(at), uint64(n))
	}
}

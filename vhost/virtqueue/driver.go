package virtqueue

import (
	"errors"
	"fmt"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A Span is memory of the guest's that a driver offers to the device.
type Span struct {
	Addr uint64
	Len  uint32
}

// ErrFull: the queue has no room for that many descriptors now.
var ErrFull = errors.New("virtqueue: full")

// A driverRing is what differs between split and packed queues, of a driver.
type driverRing interface {
	// add writes a chain of spans, the first readable of which the device reads.
	// It has room; the device sees it after publish. Flags are those of all.
	add(spans []Span, readable int, indirect bool) (id uint16)
	publish() (kick bool)
	take() (id uint16, written uint32, ok bool, err error)
	arm() (used bool)
	disarm()
	free() int // descriptors
	nextID() uint16
}

// A Driver is the driver's side of a queue. It has one owner. It trusts a device
// no further than a Device trusts a driver: what it offers it remembers outside of
// the shared memory.
type Driver struct {
	driverRing
	parts   *parts
	tables  []byte // for indirect descriptors, or nil
	tableAt uint64 // in the guest
	tabled  int    // descriptors of one of them
	one     [1]Span
	pending int // chains that were added and not published
	broken  error
}

// NewDriver returns the driver's side of a new queue, and clears its memory. It
// fails with ErrConfig.
func NewDriver(t *memory.Table, c Config) (*Driver, error) {
	p, err := c.locate(t)
	if err != nil {
		return nil, err
	}
	clear(p.desc)
	clear(p.driver)
	clear(p.device)
	q := &Driver{parts: &p}
	if p.mayIndirect && c.IndirectLen > 0 {
		n := uint64(16 * c.IndirectLen * c.Size)
		b, err := t.Slice(c.Indirect, n)
		if err != nil || uint64(len(b)) != n || !memory.Aligned(b, 8) {
			return nil, fmt.Errorf("%w: the tables of descriptors at %#x", ErrConfig, c.Indirect)
		}
		q.tables, q.tableAt, q.tabled = b, c.Indirect, c.IndirectLen
	}
	if p.isPacked {
		q.driverRing = newPackedDriver(&p)
	} else {
		if !memory.Aligned(p.driver, 4) {
			return nil, fmt.Errorf("%w: the available ring is not aligned", ErrConfig)
		}
		q.driverRing = newSplitDriver(&p)
	}
	return q, nil
}

// Add offers memory to be read by the device, and behind that memory to be
// written: one span at least. It returns the name that Take will return. It fails
// with ErrFull.
func (q *Driver) Add(spans []Span, readable int) (id uint16, err error) {
	if q.broken != nil {
		return 0, q.broken
	}
	indirect := q.tables != nil && len(spans) > 1 && len(spans) <= q.tabled
	n := len(spans)
	if indirect {
		n = 1
	}
	if n == 0 || n > q.free() {
		return 0, ErrFull
	}
	if !indirect {
		id = q.add(spans, readable, false)
	} else {
		slot := q.nextID()
		table, at := q.table(slot)
		q.fill(table, spans, readable)
		q.one[0] = Span{at, uint32(16 * len(spans))}
		id = q.add(q.one[:], 1, true)
	}
	q.pending++
	return id, nil
}

// NextID is the name that the next chain gets, below the size of the queue. It
// must not be full.
func (q *Driver) NextID() int { return int(q.nextID()) }

// table returns the table of a chain.
func (q *Driver) table(slot uint16) ([]byte, uint64) {
	n := 16 * q.tabled
	return q.tables[int(slot)*n:][:n], q.tableAt + uint64(int(slot)*n)
}

// fill writes a table of descriptors.
func (q *Driver) fill(table []byte, spans []Span, readable int) {
	for i, s := range spans {
		flags := spanFlags(i, len(spans), readable)
		rest := uint64(s.Len)
		if q.parts.isPacked {
			rest |= uint64(flags&^flagNext) << 48
		} else {
			rest |= uint64(flags)<<32 | uint64(i+1)<<48
		}
		memory.Store64(table, 16*i, s.Addr)
		memory.Store64(table, 16*i+8, rest)
	}
}

// spanFlags are those of the i-th descriptor of n.
func spanFlags(i, n, readable int) (flags uint16) {
	if i+1 < n {
		flags |= flagNext
	}
	if i >= readable {
		flags |= flagWrite
	}
	return flags
}

// Publish makes what was added available, and says whether the device wants to be
// notified.
func (q *Driver) Publish() (kick bool) {
	if q.pending == 0 || q.broken != nil {
		return false
	}
	q.pending = 0
	return q.publish()
}

// Take returns the name of a chain that the device has returned, and how many
// bytes it says that it has written. It fails with ErrUsed when the device breaks
// the rules, and so do all calls that follow.
func (q *Driver) Take() (id uint16, written int, ok bool, err error) {
	if q.broken != nil {
		return 0, 0, false, q.broken
	}
	id, n, ok, err := q.take()
	if err != nil {
		q.broken = err
	}
	return id, int(n), ok, err
}

// Arm asks the device to notify when it returns more, and says whether it has
// already.
func (q *Driver) Arm() (used bool) { return q.arm() }

// Disarm tells the device that it need not notify.
func (q *Driver) Disarm() { q.disarm() }

// Free is how many descriptors can be added.
func (q *Driver) Free() int { return q.free() }

package virtqueue

import (
	"fmt"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A ring is what differs between split and packed queues, of a device.
type ring interface {
	next(c *Chain) (bool, error)  // takes what the driver has made available
	put(c *Chain, written uint32) // writes a used entry, which the driver does not see yet
	flush() (notify bool)         // shows it those
	arm() (available bool)        // asks for notifications, and looks once more
	disarm()                      // asks for none
	ready() bool                  // looks whether there is more
	base() uint32                 // see Device.Base
	again(c *Chain) (bool, error) // what was in flight when another device ended
	attach(inflight []byte) error // finds that, and notes what is in flight from now on
	inflightLen() int             // see InflightLen
	usedPending() (chains int)    // that were put and not shown
}

// A Device is the device's side of a queue. It has one owner.
type Device struct {
	ring
	parts  *parts
	taken  int // chains that were not put back
	broken error
}

// NewDevice returns the device's side of a queue in the memory of t, which the
// caller holds as long as he uses the queue. It fails with ErrConfig, and with
// ErrInflight.
func NewDevice(t *memory.Table, c Config) (*Device, error) {
	p, err := c.locate(t)
	if err != nil {
		return nil, err
	}
	q := &Device{parts: &p}
	if p.isPacked {
		q.ring, err = newPackedDevice(&p, c.Base)
	} else {
		q.ring = newSplitDevice(&p, uint16(c.Base))
	}
	if err == nil && c.Inflight != nil {
		if len(c.Inflight) < q.inflightLen() || !memory.Aligned(c.Inflight, 8) {
			return nil, fmt.Errorf("%w: %d bytes", ErrInflight, len(c.Inflight))
		}
		err = q.attach(c.Inflight)
	}
	return q, err
}

// Next takes the next chain, or returns false when there is none. It fails when
// the driver has broken the rules, and so do all calls that follow.
func (q *Device) Next(c *Chain) (bool, error) {
	if q.broken != nil {
		return false, q.broken
	}
	if c.state != chainIdle {
		panic("virtqueue: the chain is in use")
	}
	c.reset()
	ok, err := q.again(c)
	if !ok && err == nil {
		ok, err = q.next(c)
	}
	if ok && err == nil && q.taken == q.parts.size {
		err = ErrFlood
	}
	if err != nil {
		q.broken = err
		return false, err
	}
	if ok {
		q.taken++
		c.state = chainTaken
	}
	return ok, nil
}

// Put returns a chain, of which the first written bytes of Writable were
// written. The driver sees it after Flush.
func (q *Device) Put(c *Chain, written int) {
	if c.state != chainTaken {
		panic("virtqueue: the chain was not taken")
	}
	c.state = chainIdle
	q.taken--
	if q.broken != nil {
		return
	}
	n := uint32(min(max(written, 0), c.WriteLen))
	q.parts.markWritten(c, n)
	q.put(c, n)
}

// Flush shows the driver what was put back, all at once, and says whether it
// wants to be notified.
func (q *Device) Flush() (notify bool) {
	return q.broken == nil && q.usedPending() > 0 && q.flush()
}

// Arm asks the driver to notify when it makes more available, and says whether it
// has already: then no notification may come, and the caller goes on taking.
func (q *Device) Arm() (available bool) { return q.broken == nil && q.arm() }

// Ready says whether the driver has made more available, and asks for nothing.
func (q *Device) Ready() bool { return q.broken == nil && q.ready() }

// Disarm tells the driver that it need not notify. Notifications come all the
// same.
func (q *Device) Disarm() {
	if q.broken == nil {
		q.disarm()
	}
}

// Taken is how many chains were taken and not put back.
func (q *Device) Taken() int { return q.taken }

// Err is why the queue is broken, or nil.
func (q *Device) Err() error { return q.broken }

// Break breaks the queue off for a reason of the caller's.
func (q *Device) Break(reason error) {
	if q.broken == nil {
		q.broken = reason
	}
}

// Base is where another device would go on: the next index of the available
// ring, or of a packed queue both positions with their wrap counters (vhost-user,
// section "Vring descriptor indices").
func (q *Device) Base() uint32 { return q.base() }

// InflightLen is how many bytes a queue needs to note what is in flight.
func InflightLen(size int, packed bool) int {
	if packed {
		return (&packedDevice{parts: &parts{size: size}}).inflightLen()
	}
	return (&splitDevice{parts: &parts{size: size}}).inflightLen()
}

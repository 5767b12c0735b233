package virtqueue

import (
	"errors"
	"fmt"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// Features that concern queues (VIRTIO 1.2 section 6).
const (
	FeatureIndirect = 1 << 28 // VIRTIO_F_INDIRECT_DESC: descriptors may name tables of descriptors
	FeatureEventIdx = 1 << 29 // VIRTIO_F_EVENT_IDX: each side says from which entry on it wants to be notified
	FeatureVersion1 = 1 << 32 // VIRTIO_F_VERSION_1
	FeaturePacked   = 1 << 34 // VIRTIO_F_RING_PACKED
)

// Features are those that this package has on both sides.
const Features = FeatureIndirect | FeatureEventIdx | FeatureVersion1 | FeaturePacked

// MaxSize is the most descriptors that a queue has (VIRTIO 1.2 sections 2.7, 2.8).
const MaxSize = 1 << 15

// maxIndirect is how many descriptors a table of them has at most, if the queue
// is not larger. Drivers keep to the size of the queue, or to 1024.
const maxIndirect = 1024

// A Config says where a queue lies and what was negotiated.
type Config struct {
	// Size is how many descriptors the queue has: a power of two if it is split.
	Size int

	// Features are those negotiated; others than those of this package are
	// ignored.
	Features uint64

	// The parts of the queue, by addresses of the front end's
	// ([memory.Table.User]): the descriptors; what the driver writes, which is the
	// available ring or the driver's event suppression; and what the device
	// writes, which is the used ring or the device's event suppression.
	Descriptors, Driver, Device uint64

	// Base is where a device begins, as [Device.Base] returned it; 0 for a new
	// split queue, and NewPackedBase for a new packed one.
	Base uint32

	// Log, if it is not nil, has the pages marked that a device writes to.
	Log *memory.Log

	// LogRing has those of the used ring marked too, which for the log begins at
	// LogAddr. It does nothing without Log.
	LogRing bool
	LogAddr uint64

	// Inflight, if it is not nil, is memory that outlives this process, in which
	// a device notes what it has taken and not returned: InflightLen bytes, zero at
	// first. What a device before it left there is taken again.
	Inflight []byte

	// Indirect is where a driver may put tables of descriptors, of IndirectLen
	// descriptors for each of the queue's: an address of the guest's. IndirectLen
	// of 0 means that there is no such place.
	Indirect    uint64
	IndirectLen int
}

// NewPackedBase is the Base of a packed queue that is new: both wrap counters are
// 1 (VIRTIO 1.2 section 2.8.1).
const NewPackedBase = 1<<15 | 1<<31

// Why a queue is broken, or cannot be.
var (
	ErrConfig   = errors.New("virtqueue: bad configuration")
	ErrIndex    = errors.New("virtqueue: more is available than the queue holds")
	ErrHead     = errors.New("virtqueue: the head of a chain is no descriptor of the queue")
	ErrNext     = errors.New("virtqueue: the next descriptor is none of the table")
	ErrLoop     = errors.New("virtqueue: a chain is longer than its table")
	ErrIndirect = errors.New("virtqueue: bad table of descriptors")
	ErrOrder    = errors.New("virtqueue: a descriptor to read stands behind one to write")
	ErrAddress  = errors.New("virtqueue: a descriptor lies outside of the guest's memory")
	ErrLength   = errors.New("virtqueue: a chain has too many bytes")
	ErrFlood    = errors.New("virtqueue: more chains are under way than the queue holds")
	ErrUsed     = errors.New("virtqueue: the device returned what it had not taken")
	ErrInflight = errors.New("virtqueue: bad memory for what is in flight")
)

// parts are the parts of a queue, in memory.
type parts struct {
	size                  int
	event                 bool
	desc, driver, device  []byte
	descAt                uint64 // of the guest's
	log                   *memory.Log
	ringLog               *memory.Log // nil when the used ring is not logged
	ringAt                uint64
	table                 *memory.Table
	mayIndirect, isPacked bool
}

// locate finds the parts of a queue, and checks them.
func (c *Config) locate(t *memory.Table) (p parts, err error) {
	p = parts{
		size: c.Size, table: t, log: c.Log, ringAt: c.LogAddr,
		event: c.Features&FeatureEventIdx != 0, mayIndirect: c.Features&FeatureIndirect != 0, isPacked: c.Features&FeaturePacked != 0,
	}
	if c.LogRing {
		p.ringLog = c.Log
	}
	n := uint64(c.Size)
	driverLen, deviceLen := 4+2*n, 4+8*n // flags, idx and entries
	driverAlign, deviceAlign := 2, 4
	if p.event {
		driverLen, deviceLen = driverLen+2, deviceLen+2
	}
	if p.isPacked {
		driverLen, deviceLen, driverAlign = 4, 4, 4
	}
	switch {
	case c.Size < 1 || c.Size > MaxSize:
		return p, fmt.Errorf("%w: a size of %d", ErrConfig, c.Size)
	case !p.isPacked && c.Size&(c.Size-1) != 0:
		return p, fmt.Errorf("%w: the size %d is no power of two", ErrConfig, c.Size)
	}
	for _, part := range []struct {
		name  string
		at    uint64
		len   uint64
		align int
		to    *[]byte
	}{
		{"descriptors", c.Descriptors, 16 * n, 16, &p.desc},
		{"driver area", c.Driver, driverLen, driverAlign, &p.driver},
		{"device area", c.Device, deviceLen, deviceAlign, &p.device},
	} {
		b, err := t.User(part.at, part.len)
		if err != nil {
			return p, fmt.Errorf("%w: the %s at %#x: %w", ErrConfig, part.name, part.at, err)
		}
		if !memory.Aligned(b, part.align) {
			return p, fmt.Errorf("%w: the %s at %#x is not aligned", ErrConfig, part.name, part.at)
		}
		*part.to = b
	}
	p.descAt, err = t.GuestOf(c.Descriptors)
	return p, err
}

// needEvent says whether the entry event is among those from old up to, but
// without, new (VIRTIO 1.2 section 2.7.10.1).
func needEvent(event, new, old uint16) bool { return new-event-1 < new-old }

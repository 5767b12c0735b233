package usb

import (
	"sync/atomic"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// A Status says how a transfer has ended.
type Status uint8

const (
	StatusOK       Status = iota
	StatusStall           // the endpoint is halted, or takes no such request
	StatusInvalid         // there is no such endpoint in this configuration
	StatusCanceled        // by a Cancel
	StatusReset           // its endpoint went away, by a reset or another setting
	StatusBabble          // the device sends more than there is room for
	StatusTooMuch         // more is under way than this device takes
)

func (s Status) String() string {
	return [...]string{"ok", "stall", "invalid", "canceled", "reset", "babble", "too much"}[s]
}

// A Transfer is what a host asks of one endpoint: on the wire one or more transactions,
// up to a short packet or the length asked for. Session.Transfer gives one, the
// transport fills it, Session.Submit takes it, Session.Completed gives it back with its
// answer, and Release ends it.
type Transfer struct {
	// ID is by what the transport knows it, and Tag is for the transport alone.
	ID, Tag uint64

	// Cancel makes this no transfer, but the wish that the one of the same ID end. It
	// completes after that one, with StatusOK if there was one under way, and with
	// StatusInvalid if it had ended before.
	Cancel bool
	// Reset makes this no transfer, but a reset of the bus (USB 2.0 7.1.7.5).
	Reset bool

	// Endpoint is the address of the endpoint, with bit 7 for IN; 0 for control
	// transfers, whose Setup has the direction.
	Endpoint uint8
	// Stream is that of SuperSpeed, zero where there is none.
	Stream uint16
	Setup  [8]byte
	// Length is how many bytes the host takes (IN), or has sent (OUT).
	Length int
	// Data is what the host has sent, of Session.Buffer; on completion of an IN
	// transfer what the device has, before Zeroes bytes that are zero.
	Data   []byte
	Zeroes int

	// Status and Actual, the number of bytes that were transferred, are the answer.
	Status Status
	Actual int

	session *Session
	hold    *memory // what Data is a part of
	small   [64]byte
	next    *Transfer // in a queue
}

// Release says that t is of no use any more.
func (t *Transfer) Release() {
	t.hold.release()
	s := t.session
	*t = Transfer{session: s}
	if s == nil {
		return
	}
	select {
	case s.free <- t:
	default:
	}
}

// reply makes bytes of at most len(t.small) the data of an IN transfer, and reports
// whether the host has room for them.
func (t *Transfer) reply(p []byte) bool {
	if len(p) > t.Length {
		t.Status = StatusBabble
		return false
	}
	t.Data = append(t.small[:0], p...)
	t.Actual = len(p)
	return true
}

// A queue is transfers in their order. One is in one queue at a time.
type queue struct {
	first, last *Transfer
	n           int
}

func (q *queue) push(t *Transfer) {
	t.next = nil
	if q.last == nil {
		q.first = t
	} else {
		q.last.next = t
	}
	q.last = t
	q.n++
}

// pop takes the first transfer, or returns nil.
func (q *queue) pop() *Transfer { return q.take(func(*Transfer) bool { return true }) }

// take takes the first transfer for which fits is true, or returns nil.
func (q *queue) take(fits func(*Transfer) bool) *Transfer {
	var before *Transfer
	for t := q.first; t != nil; before, t = t, t.next {
		if !fits(t) {
			continue
		}
		if before == nil {
			q.first = t.next
		} else {
			before.next = t.next
		}
		if q.last == t {
			q.last = before
		}
		t.next = nil
		q.n--
		return t
	}
	return nil
}

// memory is a buffer that several hold.
type memory struct {
	bytes  []byte
	refs   atomic.Int32
	buffer *buffers.Buffer
	pool   *buffers.Pool
	used   *budget // what it counts in, or nil
}

// A budget counts bytes that are in use.
type budget struct {
	atomic.Int64
	freed chan struct{} // has one when there are less; may be nil
}

func (b *budget) less(n int) {
	b.Add(-int64(n))
	select {
	case b.freed <- struct{}{}:
	default:
	}
}

// largestPooled is the longest buffer of a pool.
const largestPooled = 64 << 20

// newMemory makes a buffer of n bytes with one holder.
func newMemory(pool *buffers.Pool, n int, used *budget) *memory {
	m := &memory{pool: pool, used: used}
	if n <= largestPooled {
		m.buffer = pool.Get(n)
		m.bytes = m.buffer.Bytes[:n]
	} else {
		m.bytes = make([]byte, n)
	}
	if used != nil {
		used.Add(int64(n))
	}
	m.refs.Store(1)
	return m
}

func (m *memory) acquire() *memory {
	if m != nil {
		m.refs.Add(1)
	}
	return m
}

func (m *memory) release() {
	if m == nil || m.refs.Add(-1) > 0 {
		return
	}
	if m.used != nil {
		m.used.less(len(m.bytes))
	}
	m.pool.Put(m.buffer)
	m.bytes, m.buffer = nil, nil
}

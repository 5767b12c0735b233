package vhostblk

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A layout says how the memory of a queue is used: descriptors, what the driver
// writes, what the device writes, tables of descriptors, and slots.
type layout struct {
	size, depth       int
	segments, segment int // of the data of a request, and the length of one
	room              int // of a slot
}

func pages(n int) int { return (n + 4095) &^ 4095 }

func (l layout) driverAt() int { return pages(16 * l.size) }
func (l layout) deviceAt() int { return l.driverAt() + pages(6+2*l.size) }
func (l layout) tablesAt() int { return l.deviceAt() + pages(6+8*l.size) }
func (l layout) slotsAt() int  { return l.tablesAt() + pages(16*(l.segments+2)*l.size) }
func (l layout) length() int   { return l.slotsAt() + l.depth*l.room }

// A queue is a ring, the driver's side.
type queue struct {
	layout
	config     virtqueue.Config
	table      *memory.Table
	kick, call *vhost.Event
	free       chan *slot    // that are not in use
	token      chan struct{} // whose holder owns what follows
	ring       *virtqueue.Driver
	chains     []*slot // under way, by the name of the chain
}

// A slot is the memory of one request.
type slot struct {
	head, data []byte
	at         uint64 // guest's address of head, which data follows
	spans      []virtqueue.Span
	readable   int           // of spans
	done       chan struct{} // the request has returned
	lost       bool          // it has not, and never will
}

func newQueue(t *memory.Table, features uint64, at int, l layout) (*queue, error) {
	base := uint64(userBase + at)
	q := &queue{
		layout: l, table: t, free: make(chan *slot, l.depth), token: make(chan struct{}, 1), chains: make([]*slot, l.size),
		config: virtqueue.Config{
			Size: l.size, Features: features, Descriptors: base, Driver: base + uint64(l.driverAt()), Device: base + uint64(l.deviceAt()),
			Indirect: uint64(guestBase + at + l.tablesAt()), IndirectLen: l.segments + 2,
		},
	}
	if features&virtqueue.FeaturePacked != 0 {
		q.config.Base = virtqueue.NewPackedBase
	}
	for i := range l.depth {
		s := &slot{at: uint64(guestBase + at + l.slotsAt() + i*l.room), done: make(chan struct{}, 1)}
		b, err := t.Slice(s.at, uint64(l.room))
		if err != nil {
			return nil, err
		}
		s.head, s.data = b[:headRoom], b[headRoom:]
		q.free <- s
	}
	var err error
	if q.kick, err = vhost.NewEvent(); err != nil {
		return nil, err
	}
	if q.call, err = vhost.NewEvent(); err != nil {
		q.kick.Close()
		return nil, err
	}
	q.ring, err = virtqueue.NewDriver(t, q.config)
	q.token <- struct{}{}
	return q, err
}

// begin fills the head of a slot: a request with n bytes of data, which the device
// writes or reads, or with some behind the header.
func (q *queue) begin(s *slot, kind uint32, off int64, extra, n int) {
	binary.LittleEndian.PutUint32(s.head, kind)
	binary.LittleEndian.PutUint32(s.head[4:], 0)
	binary.LittleEndian.PutUint64(s.head[8:], uint64(off/sectorSize))
	s.head[statusOff] = 0xff
	s.spans = append(s.spans[:0], virtqueue.Span{Addr: s.at, Len: uint32(headLen + extra)})
	for at := 0; at < n; at += q.segment {
		s.spans = append(s.spans, virtqueue.Span{Addr: s.at + headRoom + uint64(at), Len: uint32(min(q.segment, n-at))})
	}
	s.readable = len(s.spans)
	if kind == typeIn || kind == typeGetID {
		s.readable = 1
	}
	s.spans = append(s.spans, virtqueue.Span{Addr: s.at + statusOff, Len: 1})
}

// submit gives the request of a slot to the device, and waits until it has returned.
func (q *queue) submit(s *slot, lost <-chan struct{}) (status byte, err error) {
	<-q.token
	err = q.add(s)
	kick := err == nil && q.ring.Publish()
	q.token <- struct{}{}
	if err != nil {
		return 0, err
	}
	if kick {
		q.kick.Signal()
	}
	select {
	case <-s.done:
	case <-lost:
		select {
		case <-s.done: // before that
		default:
			s.lost = true
			return 0, ErrLost
		}
	}
	return s.head[statusOff], nil
}

// add makes the request of a slot a chain. There is room. The caller has the token.
func (q *queue) add(s *slot) error {
	id, err := q.ring.Add(s.spans, s.readable)
	if err != nil {
		return fmt.Errorf("vhostblk: %w", err)
	}
	q.chains[id] = s
	return nil
}

// reapAll takes what has returned, and asks to be told of what returns later. It fails
// when the back end breaks the rules.
func (q *queue) reapAll() error {
	<-q.token
	defer func() { q.token <- struct{}{} }()
	q.ring.Disarm()
	for {
		id, _, ok, err := q.ring.Take()
		if err != nil {
			return err
		}
		if !ok {
			if q.ring.Arm() {
				continue
			}
			return nil
		}
		s := q.chains[id]
		q.chains[id] = nil
		s.done <- struct{}{}
	}
}

// restart makes the ring ready for a back end that has come after another. Kept says
// that it knows what was in flight; otherwise all that has not returned is offered
// anew.
func (q *queue) restart(kept bool) error {
	<-q.token
	defer func() { q.token <- struct{}{} }()
	if kept {
		return nil
	}
	under := make([]*slot, 0, len(q.chains))
	for id, s := range q.chains {
		if s != nil {
			under = append(under, s)
			q.chains[id] = nil
		}
	}
	var err error
	if q.ring, err = virtqueue.NewDriver(q.table, q.config); err != nil {
		return err
	}
	for _, s := range under {
		if err := q.add(s); err != nil {
			return err
		}
	}
	q.ring.Publish()
	return nil
}

// drain waits until all slots are free, and keeps them: nothing is submitted any more.
func (q *queue) drain(lost <-chan struct{}) {
	for range q.depth {
		select {
		case <-q.free:
		case <-lost:
			return
		}
	}
}

package vhost

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A ring is what a session knows of one ring, running or not.
type ring struct {
	index   int
	size    int
	addr    VringAddr
	placed  bool   // addr was set
	base    uint32 // where it goes on
	based   bool   // base was set, or a queue has run
	enabled bool
	kicked  bool // the front end has said how it kicks
	started bool // there was a kick
	broken  error

	// Where it was when the device was reset, until it runs again. Front ends (QEMU
	// 7.2) reset the status of a device, and then ask with GET_VRING_BASE where its
	// rings are, which they tell the next back end.
	left   uint32
	leftAt bool // left is known

	kick   *os.File
	kickFD int
	call   int
	errFD  int

	running *Queue
	done    chan *Queue // gives running back
}

func newRing(i int) *ring { return &ring{index: i, kickFD: -1, call: -1, errFD: -1} }

// ready says whether the ring can run, when there is memory.
func (r *ring) ready() bool {
	return r.running == nil && r.broken == nil && r.size > 0 && r.placed && r.kicked && r.enabled
}

// start has the ring run.
func (r *ring) start(s *session) {
	q := &Queue{
		index: r.index, features: s.acked, table: s.table, started: r.started, kick: r.kick, kickFD: r.kickFD, call: r.call, logFD: -1,
		errFD: r.errFD, busyPoll: s.busyPoll, postcopy: s.postcopy, patience: s.patience, report: s.report, stop: make(chan struct{}),
		config: virtqueue.Config{
			Size: r.size, Features: s.acked, Descriptors: r.addr.Descriptors, Driver: r.addr.Avail, Device: r.addr.Used, Base: r.base,
		},
	}
	if !r.based && s.acked&virtqueue.FeaturePacked != 0 {
		q.config.Base = virtqueue.NewPackedBase
	}
	if s.acked&FeatureLogAll != 0 && s.log != nil {
		q.config.Log, q.logFD = s.log, s.logFD
		q.config.LogRing, q.config.LogAddr = r.addr.Flags&VringLog != 0, r.addr.LogAt
		q.guards = append(q.guards, s.logTable)
	}
	if part := s.inflight.part(r.index); part != nil {
		q.config.Inflight = part
		q.guards = append(q.guards, s.inflight.table)
		q.started = true // what was in flight waits for no kick
	}
	if q.kick == nil || r.goesOn(s.acked) {
		q.started = true
	}
	r.leftAt = false
	s.table.Hold()
	r.running = q
	r.done = make(chan *Queue, 1)
	go q.run(s.device, r.done)
}

// goesOn says whether the ring is not new. The driver of such a one may have made
// something available without a kick: with an event index it asks whether the device has
// wanted one, and the device may have been stopped before it said so.
func (r *ring) goesOn(features uint64) bool {
	if features&virtqueue.FeaturePacked != 0 {
		return r.based && r.base != virtqueue.NewPackedBase
	}
	return r.base != 0
}

// stop stops the ring, if it runs, and waits until nothing is under way.
func (r *ring) stop() {
	if r.running == nil {
		return
	}
	q := r.running
	q.stopping.Store(true)
	close(q.stop)
	if r.kick != nil {
		r.kick.SetReadDeadline(time.Unix(1, 0)) // wakes a Read
	}
	r.await(q)
	if r.kick != nil {
		r.kick.SetReadDeadline(time.Time{})
	}
	r.running, r.done = nil, nil
	r.started = q.started
	if q.ring != nil {
		r.base, r.based = q.ring.Base(), true
	}
	if q.err != nil {
		r.broken = q.err
	}
	q.table.Release()
}

// await waits until q has ended. One that waits for memory of a guest that moves here is
// let go after a while: the front end does not bring it, and what the guest has is lost.
func (r *ring) await(q *Queue) {
	if q.postcopy == nil {
		<-r.done
		return
	}
	late := time.NewTimer(q.patience)
	defer late.Stop()
	select {
	case <-r.done:
		return
	case <-late.C:
	}
	q.postcopy.unregister()
	<-r.done
	if q.err == nil {
		q.err = errNoPage
		q.report(q.index, q.err)
	}
}

var errNoPage = errors.New("vhost: memory of the guest did not come")

// setKick takes a file descriptor, or -1 for none: then the ring is looked at
// again and again.
func (r *ring) setKick(fd int) error {
	r.dropKick()
	r.kicked = true
	if fd < 0 {
		return nil
	}
	unix.SetNonblock(fd, true)
	f := os.NewFile(uintptr(fd), fmt.Sprintf("kick %d", r.index))
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		f.Close()
		r.kicked = false
		return fmt.Errorf("%w: the file for kicks cannot be waited for", ErrRefused)
	}
	r.kick, r.kickFD = f, fd
	return nil
}

func (r *ring) dropKick() {
	if r.kick != nil {
		r.kick.Close()
	}
	r.kick, r.kickFD, r.kicked = nil, -1, false
}

// replace closes the file descriptor in p, and puts another one there. Writes to
// it will not wait.
func replace(p *int, fd int) {
	if *p >= 0 {
		unix.Close(*p)
	}
	*p = fd
	if fd >= 0 {
		unix.SetNonblock(fd, true)
	}
}

// reset makes the ring one that was never set up.
func (r *ring) reset() {
	r.stop()
	r.dropKick()
	replace(&r.call, -1)
	replace(&r.errFD, -1)
	left, leftAt := r.left, r.leftAt
	if r.based {
		left, leftAt = r.base, true
	}
	*r = *newRing(r.index)
	r.left, r.leftAt = left, leftAt
}

var errNoRing = errors.New("no such ring")

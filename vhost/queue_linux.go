package vhost

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// pollInterval is how often a ring without a file descriptor for kicks is looked
// at.
const pollInterval = 100 * time.Microsecond

// A Queue is a ring that runs, as its [Device] serves it. It belongs to the
// goroutine of Serve, but for Wake.
type Queue struct {
	index    int
	features uint64
	table    *memory.Table
	guards   []*memory.Table // what else is touched: the log, what is in flight
	config   virtqueue.Config
	started  bool // by a kick, before
	kick     *os.File
	call     int // or -1
	logFD    int // or -1
	errFD    int // or -1
	ring     *virtqueue.Device

	postcopy *postcopy     // or nil
	patience time.Duration // see Config
	busyPoll time.Duration // see Config
	until    time.Time     // the end of WaitUntil
	stop     chan struct{}
	stopping atomic.Bool
	asleep   atomic.Bool // it waits for kicks, or is about to
	woken    atomic.Bool // by Wake, since the last Wait
	kickFD   int         // of kick, for Wake
	err      error       // why it ended, if nobody had asked it to
	report   func(ring int, err error)
}

// Index is which ring of the device it is.
func (q *Queue) Index() int { return q.index }

// Features are those that were negotiated.
func (q *Queue) Features() uint64 { return q.features }

// Memory is the guest's memory, which stays mapped as long as Serve runs.
func (q *Queue) Memory() *memory.Table { return q.table }

// Stopped is closed when the ring is to stop.
func (q *Queue) Stopped() <-chan struct{} { return q.stop }

// Next takes the next chain; false means that there is none now, or that the ring
// is to stop or is broken: the caller goes on with Wait.
func (q *Queue) Next(c *virtqueue.Chain) bool {
	if q.stopping.Load() {
		return false
	}
	ok, _ := q.ring.Next(c) // Wait sees the error
	return ok
}

// Ready says whether the driver has made more available.
func (q *Queue) Ready() bool { return q.ring.Ready() }

// Put returns a chain, of which written bytes were written.
func (q *Queue) Put(c *virtqueue.Chain, written int) { q.ring.Put(c, written) }

// Flush shows the driver what was put back.
func (q *Queue) Flush() {
	if q.ring.Flush() {
		signal(q.call)
	}
	if q.config.Log != nil {
		signal(q.logFD)
	}
}

// Break breaks the ring off: the driver has broken the rules of the device.
func (q *Queue) Break(reason error) { q.ring.Break(reason) }

// Wait shows the driver what was put back, and waits until the driver has made
// more available, or somebody calls Wake. It returns false when the ring is to
// stop, or is broken.
func (q *Queue) Wait() bool {
	q.Flush()
	if q.ring.Err() != nil || q.stopping.Load() {
		return false
	}
	q.asleep.Store(true)
	defer q.asleep.Store(false)
	if !q.woken.Swap(false) && !q.poll() && !q.ring.Arm() {
		if !q.sleep() {
			return false
		}
		q.woken.Store(false)
	}
	q.ring.Disarm()
	return q.ring.Err() == nil
}

// poll looks for more for as long as it may, and asks for no notification meanwhile.
// It returns true when the ring need not sleep.
func (q *Queue) poll() bool {
	if q.busyPoll <= 0 {
		return false
	}
	end := time.Now().Add(q.busyPoll)
	if !q.until.IsZero() && q.until.Before(end) {
		end = q.until
	}
	for ; ; runtime.Gosched() {
		switch {
		case q.ring.Ready():
			return true
		case q.stopping.Load(), time.Now().After(end):
			return false
		case q.woken.Swap(false):
			return true
		}
	}
}

// WaitUntil is Wait up to a deadline: then it returns false, too, and the ring may
// still run.
func (q *Queue) WaitUntil(deadline time.Time) bool {
	if q.kick == nil {
		return time.Now().Before(deadline) && q.Wait()
	}
	q.kick.SetReadDeadline(deadline)
	q.until = deadline
	ok := q.Wait()
	q.until = time.Time{}
	// Who stops the ring says so first, and then sets a deadline. Either that
	// comes after this one, or sleep sees what was said.
	q.kick.SetReadDeadline(time.Time{})
	return ok
}

// Err is why the ring is broken off, or nil.
func (q *Queue) Err() error { return q.ring.Err() }

// sleep waits for a kick, or to be stopped: then it returns false.
func (q *Queue) sleep() bool {
	if q.kick == nil {
		select {
		case <-q.stop:
			return false
		case <-time.After(pollInterval):
			return true
		}
	}
	if q.stopping.Load() {
		return false
	}
	var count [8]byte
	_, err := q.kick.Read(count[:])
	switch {
	case q.stopping.Load(), errors.Is(err, os.ErrDeadlineExceeded):
		return false
	case err != nil:
		q.fail(err)
		return false
	}
	return true
}

func (q *Queue) fail(err error) {
	if q.ring != nil {
		q.ring.Break(err)
	} else {
		q.err = err
	}
}

// Wake has a Wait return that waits, or the next one. Any goroutine may call it
// while Serve runs.
func (q *Queue) Wake() {
	q.woken.Store(true)
	if q.asleep.Load() && q.kick != nil {
		signal(q.kickFD)
	}
}

// signal adds 1 to an eventfd. One that is full wakes its reader anyway.
func signal(fd int) {
	if fd >= 0 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		unix.Write(fd, one[:])
	}
}

// run serves a ring until it is told to stop.
//
// Owns: q, and the ring.
// Reads: the kicks of the driver, q.stop.
// Writes: the call of the driver; done, with q, which it gives back.
// Blocks on: kicks; what the device waits for. done has room.
func (q *Queue) run(d Device, done chan<- *Queue) {
	serve := func() { q.serve(d) }
	for _, t := range q.guards {
		inner := serve
		serve = func() { q.guard(t, inner) }
	}
	q.guard(q.table, serve)
	if q.err == nil && q.ring != nil {
		q.err = q.ring.Err()
	}
	if q.err != nil {
		signal(q.errFD)
		q.report(q.index, q.err)
	}
	done <- q
}

// guard runs f, and breaks the ring off when it touches memory that is gone.
func (q *Queue) guard(t *memory.Table, f func()) {
	if err := t.Guard(f); err != nil {
		q.fail(err)
	}
}

func (q *Queue) serve(d Device) {
	for !q.started {
		if !q.sleep() {
			return
		}
		q.started = true
	}
	var err error
	if q.ring, err = virtqueue.NewDevice(q.table, q.config); err != nil {
		q.err = err
		return
	}
	d.Serve(q)
	if q.ring.Taken() > 0 && q.ring.Err() == nil {
		q.ring.Break(errKept)
	}
}

var errKept = errors.New("vhost: the device has kept chains")

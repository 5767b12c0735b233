// Package deadline makes the deadlines of sockets: an instant that may be
// moved while calls wait for it.
package deadline

import "time"

// A Deadline is an instant, and a channel that is closed while it has passed.
// Its methods may be called from any goroutine. It has a channel for a lock,
// because a goroutine that waits for a sync.Mutex stalls the virtual time of
// testing/synctest.
type Deadline struct {
	lock  chan struct{} // holds one token while nobody is inside
	timer *time.Timer
	done  chan struct{}
}

// New returns a Deadline that never passes.
func New() *Deadline {
	return &Deadline{lock: make(chan struct{}, 1), done: make(chan struct{})}
}

// Set moves the deadline to t; the zero time means never. A t in the past
// wakes all waiters at once.
func (d *Deadline) Set(t time.Time) {
	d.lock <- struct{}{}
	defer func() { <-d.lock }()

	if d.timer != nil && !d.timer.Stop() {
		<-d.done // the timer has fired: wait until it has closed done
	}
	d.timer = nil
	passed := isClosed(d.done)
	if t.IsZero() || time.Until(t) > 0 {
		if passed {
			d.done = make(chan struct{})
		}
		if !t.IsZero() {
			done := d.done
			d.timer = time.AfterFunc(time.Until(t), func() { close(done) })
		}
		return
	}
	if !passed {
		close(d.done)
	}
}

// Passed returns a channel that is closed when the deadline passes. A call
// asks for it once, when it starts to wait.
func (d *Deadline) Passed() <-chan struct{} {
	d.lock <- struct{}{}
	defer func() { <-d.lock }()
	return d.done
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Package deadline makes the deadlines of sockets: an instant that may be
// moved while calls wait for it.
package deadline

import (
	"sync"
	"time"
)

// A Deadline is an instant, and a channel that is closed while it has passed.
// The zero Deadline never passes. It must not be copied once used. Its methods
// may be called from any goroutine. The lock is never held while anything is
// waited for but the timer's own goroutine.
type Deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	done  chan struct{} // nil until somebody asks
}

// Set moves the deadline to t; the zero time means never. A t in the past
// wakes all waiters at once.
func (d *Deadline) Set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	passed := d.stop()
	if d.done == nil {
		d.done = make(chan struct{})
	}
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
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
	}
	return d.done
}

// stop ends the timer, and says whether the deadline has passed.
func (d *Deadline) stop() (passed bool) {
	if d.timer != nil && !d.timer.Stop() {
		<-d.done // the timer has fired: wait until it has closed done
	}
	d.timer = nil
	return d.done != nil && isClosed(d.done)
}

// Stop gives the timer of a deadline back that has not passed, and now never
// will: its socket is closed.
func (d *Deadline) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && d.timer.Stop() {
		d.timer = nil
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

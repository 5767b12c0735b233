package scsi

import (
	"slices"
	"sync/atomic"
)

// A taskList is the tasks of one link, in the order of Begin.
type taskList struct{ first, last *Task }

func (l *taskList) add(t *Task) {
	t.previous, t.next = l.last, nil
	if l.last == nil {
		l.first = t
	} else {
		l.last.next = t
	}
	l.last = t
}

func (l *taskList) remove(t *Task) {
	if t.previous == nil {
		l.first = t.next
	} else {
		t.previous.next = t.next
	}
	if t.next == nil {
		l.last = t.previous
	} else {
		t.next.previous = t.previous
	}
	t.previous, t.next = nil, nil
}

// A drain waits until tasks have ended that were there when it was made. It may wait
// for tasks of several units.
type drain struct {
	left atomic.Int64
	then func()        // or nil
	done chan struct{} // closed after then
}

// newDrain makes one that is not done before release.
func newDrain(then func()) *drain {
	d := &drain{done: make(chan struct{}), then: then}
	d.left.Store(1)
	return d
}

func (d *drain) release() {
	if d.left.Add(-1) == 0 {
		if d.then != nil {
			d.then()
		}
		close(d.done)
	}
}

// A waiter is a drain's interest in the tasks of one unit that were begun up to a
// number.
type waiter struct {
	drain *drain
	upTo  uint64
	of    func(*link) bool
}

// wait has d wait for the tasks of links that of chooses.
func (s *state) wait(d *drain, of func(*link) bool) {
	w := waiter{d, s.begun, of}
	if s.runs(w) {
		d.left.Add(1)
		s.waiters = append(s.waiters, w)
	}
}

// runs says whether a task is left that w waits for.
func (s *state) runs(w waiter) bool {
	return slices.ContainsFunc(s.links, func(l *link) bool {
		return w.of(l) && l.tasks.first != nil && l.tasks.first.number <= w.upTo
	})
}

// ended takes t, which has ended, off its list, and releases those that have waited for
// it.
func (s *state) ended(t *Task) {
	l := t.link
	l.tasks.remove(t)
	if l.lost && l.tasks.first == nil {
		s.forget(l)
	}
	if len(s.waiters) > 0 {
		s.waiters = slices.DeleteFunc(s.waiters, func(w waiter) bool {
			if s.runs(w) {
				return false
			}
			w.drain.release()
			return true
		})
	}
}

// abort aborts the tasks of the links that of chooses, on behalf of the link by, or of
// none, and returns a channel that is closed when they have ended.
func (s *state) abort(of func(*link) bool, by *link) <-chan struct{} {
	d := newDrain(nil)
	s.abortFor(d, of, by)
	d.release()
	return d.done
}

// abortFor is abort with a drain that may wait for other tasks too.
func (s *state) abortFor(d *drain, of func(*link) bool, by *link) {
	for _, l := range s.links {
		if !of(l) || l.tasks.first == nil {
			continue
		}
		cause := abortedByOwn
		if l != by {
			cause = abortedByOther
			if s.pages.status {
				cause = abortedWithStatus
			}
		}
		for t := l.tasks.first; t != nil; t = t.next {
			t.aborted.CompareAndSwap(notAborted, cause)
		}
		if l == by {
			continue
		}
		if cause == abortedByOther {
			l.establish(CodeCommandsCleared) // SAM-4 5.7.3: without a status there is a condition
		}
		l.nexus.tell(Event{Kind: EventAborted, LUN: l.lun})
	}
	s.wait(d, of)
}

// loseNexus frees what a link has held (SAM-4 6.3.4). It is forgotten with its last
// task.
func (s *state) loseNexus(l *link) {
	l.prevents = false
	s.reservations.loseNexus(l)
	if l.lost = true; l.tasks.first == nil {
		s.forget(l)
	}
}

func (s *state) forget(l *link) {
	s.links = slices.DeleteFunc(s.links, func(o *link) bool { return o == l })
}

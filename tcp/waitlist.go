package tcp

import (
	"net"
	"os"
)

// A waitList wakes those who wait for something of a connection. It belongs to who
// has the token.
type waitList struct {
	wakes chan struct{} // room for one; made when somebody waits first
	n     int           // how many wait, or have been woken and not had the token yet
}

// wait adds the caller, who receives from the channel, takes the token, and calls
// left.
func (w *waitList) wait() <-chan struct{} {
	if w.wakes == nil {
		w.wakes = make(chan struct{}, 1)
	}
	w.n++
	return w.wakes
}

func (w *waitList) left() { w.n-- }

// wakeOne wakes one. Who is woken looks again, and wakes the next.
func (w *waitList) wakeOne() {
	if w.n == 0 {
		return
	}
	select {
	case w.wakes <- struct{}{}:
	default: // one is being woken
	}
}

// wakeAll has all look again.
func (w *waitList) wakeAll() {
	if w.wakes != nil {
		close(w.wakes)
		w.wakes = nil
	}
}

// wake wakes those who can be served.
func (c *Conn) wake() {
	if c.readers.n > 0 && c.t.Readable() {
		c.readers.wakeOne()
	}
	if c.writers.n > 0 && c.t.Writable() {
		c.writers.wakeOne()
	}
	if c.nextWriters.n > 0 && !c.writing {
		c.nextWriters.wakeOne()
	}
}

// wakeAll has all calls that wait look again: the connection has ended, or is
// closed, or has its first deadline.
func (c *Conn) wakeAll() {
	c.readers.wakeAll()
	c.writers.wakeAll()
	c.nextWriters.wakeAll()
}

// await takes the token for a call as soon as ready says that it is the call's turn,
// or the connection has ended. It waits in w. The errors, with which the caller has
// no token, are net.ErrClosed and os.ErrDeadlineExceeded. A deadline that was moved
// on before its call has seen it pass does not count, as in package net.
func (c *Conn) await(w *waitList, s *deadlineSlot, ready func() bool) error {
	for waited := false; ; waited = true {
		c.take()
		if waited {
			w.left()
		}
		passed := passed(s)
		if err := c.callError(passed); err != nil {
			c.passOn()
			return err
		}
		if c.t == nil || ready() {
			return nil
		}
		woken := w.wait()
		c.release()
		if passed == nil { // a plain receive costs less
			<-woken
			continue
		}
		select {
		case <-woken:
		case <-passed:
		}
	}
}

// callError is what ends a call, whatever the connection does.
func (c *Conn) callError(passed <-chan struct{}) error {
	switch {
	case c.isClosed.Load():
		return net.ErrClosed
	case isClosed(passed):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// passOn ends the turn of a call that has been woken, and does not want any more
// what it was woken for: others may.
func (c *Conn) passOn() {
	if c.t != nil && !c.parked() {
		c.wake()
	}
	c.release()
}

package tcp

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/internal/deadline"
)

// SetDeadline sets the read and the write deadline. A call that waits when its
// deadline passes returns an error that is os.ErrDeadlineExceeded. The zero
// time means no deadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline, &c.writeDeadline)
}

// SetReadDeadline sets the deadline of Read and WriteTo.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.readDeadline) }

// SetWriteDeadline sets the deadline of Write and ReadFrom.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeDeadline) }

// A deadlineSlot has a deadline from when it is set first.
type deadlineSlot = atomic.Pointer[deadline.Deadline]

func (c *Conn) setDeadlines(t time.Time, slots ...*deadlineSlot) error {
	if c.isClosed.Load() {
		return c.setError(net.ErrClosed)
	}
	first := false
	for _, s := range slots {
		if s.Load() == nil {
			if t.IsZero() {
				continue
			}
			first = s.CompareAndSwap(nil, new(deadline.Deadline)) || first
		}
		s.Load().Set(t)
	}
	if first { // calls that wait do not know of it
		c.take()
		c.wakeAll()
		c.release()
	}
	return nil
}

// passed returns a channel that is closed when the deadline passes, or nil as
// long as none was ever set: the first one wakes all calls.
func passed(s *deadlineSlot) <-chan struct{} {
	if d := s.Load(); d != nil {
		return d.Passed()
	}
	return nil
}

// stopDeadlines gives the timers of the deadlines back.
func (c *Conn) stopDeadlines() {
	for _, s := range [...]*deadlineSlot{&c.readDeadline, &c.writeDeadline} {
		if d := s.Load(); d != nil {
			d.Stop()
		}
	}
}

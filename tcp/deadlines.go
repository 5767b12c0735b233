package tcp

import (
	"net"
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

func (c *Conn) setDeadlines(t time.Time, deadlines ...*deadline.Deadline) error {
	if c.isClosed.Load() {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range deadlines {
		d.Set(t)
	}
	return nil
}

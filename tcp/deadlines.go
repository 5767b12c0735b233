package tcp

import (
	"time"

	"github.com/seed-012105e5/gonet/internal/deadline"
)

// deadlines are those of a connection.
type deadlines struct{ read, write *deadline.Deadline }

func newDeadlines() deadlines { return deadlines{deadline.New(), deadline.New()} }

// SetDeadline sets the read and the write deadline. A call that waits when its
// deadline passes returns an error that is os.ErrDeadlineExceeded. The zero
// time means no deadline.
func (d *deadlines) SetDeadline(t time.Time) error {
	d.read.Set(t)
	d.write.Set(t)
	return nil
}

// SetReadDeadline sets the deadline of Read and WriteTo.
func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read.Set(t)
	return nil
}

// SetWriteDeadline sets the deadline of Write and ReadFrom.
func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write.Set(t)
	return nil
}

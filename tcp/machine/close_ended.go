package machine

import (
	"net"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// An Ended is what a connection that has ended leaves to its user.
type Ended struct {
	unread   recvQueue // what users have not read
	ReadErr  error     // what calls return
	WriteErr error
	Info     Info
}

// End takes from t, which is over, what the user may still ask for, and gives all
// other memory back.
func (t *TCB) End(now time.Time) *Ended {
	e := new(Ended)
	t.describe(&e.Info)
	_, e.WriteErr = t.Write(now, nil)
	t.stats.Closed.Add(1)
	if t.recvq.readyLen > 0 {
		e.unread = t.recvq.leftOver()
	}
	t.release()
	if e.ReadErr = t.readError(); e.ReadErr == nil {
		e.ReadErr = net.ErrClosed
	}
	return e
}

// Read reads what is left.
func (e *Ended) Read(p []byte) (int, error) {
	if e.unread.readyLen == 0 {
		return 0, e.ReadErr
	}
	return e.unread.read(p), nil
}

// ReadBuffer hands over a whole Buffer of what is left.
func (e *Ended) ReadBuffer() (*packet.Buffer, error) {
	if e.unread.readyLen == 0 {
		return nil, e.ReadErr
	}
	return e.unread.take(), nil
}

// Peek is what is left, n bytes at most, which stays; and what comes behind that.
func (e *Ended) Peek(n int) (text []byte, end error) {
	text = e.unread.peek(n)
	if len(text) == e.unread.readyLen {
		end = e.ReadErr
	}
	return text, end
}

// Discard gives back what nobody will read.
func (e *Ended) Discard() { e.unread.clear() }

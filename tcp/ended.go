package tcp

import (
	"net"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// An ending is what a connection that has ended leaves to its user.
type ending struct {
	unread   recvQueue // what users have not read
	readErr  error     // what calls return
	writeErr error
	info     Info
}

// end takes from t, which is over, what the user may still ask for, and gives all
// other memory back.
func (t *tcb) end(now time.Time) *ending {
	e := new(ending)
	t.describe(&e.info)
	_, e.writeErr = t.write(now, nil)
	t.stats.Closed.Add(1)
	if t.recvq.readyLen > 0 {
		e.unread = t.recvq.leftOver()
	}
	t.release()
	if e.readErr = t.readError(); e.readErr == nil {
		e.readErr = net.ErrClosed
	}
	return e
}

// read reads what is left.
func (e *ending) read(p []byte) (int, error) {
	if e.unread.readyLen == 0 {
		return 0, e.readErr
	}
	return e.unread.read(p), nil
}

// readBuffer hands over a whole Buffer of what is left.
func (e *ending) readBuffer() (*packet.Buffer, error) {
	if e.unread.readyLen == 0 {
		return nil, e.readErr
	}
	return e.unread.take(), nil
}

// peek is what is left, n bytes at most, which stays; and what comes behind that.
func (e *ending) peek(n int) (text []byte, end error) {
	text = e.unread.peek(n)
	if len(text) == e.unread.readyLen {
		end = e.readErr
	}
	return text, end
}

// discard gives back what nobody will read.
func (e *ending) discard() { e.unread.clear() }

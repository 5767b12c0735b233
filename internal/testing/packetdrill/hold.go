package packetdrill

import "time"

// TCP_CORK and MSG_MORE hold text back so that it goes out in whole segments.
// A connection of ours does not know them: here the runner does it, as a
// program would that gathers what it writes.

// A hold is the text of a socket that waits for more.
type hold struct {
	corked bool
	n      int       // bytes
	until  time.Time // they wait no longer
}

// holdTime is how long Linux holds text back.
const holdTime = 200 * time.Millisecond

// take is how much was held, which then is no more.
func (h *hold) take() (n int) {
	n, h.n = h.n, 0
	return n
}

// holdBack takes n bytes of a write, and passes whole segments on.
func (s *socket) holdBack(n int) error {
	if s.hold.n == 0 {
		s.hold.until = time.Now().Add(holdTime)
	}
	s.hold.n += n
	mss := s.conn.Info().SendMSS
	whole := s.hold.n - s.hold.n%mss
	s.hold.n -= whole
	return s.writeHeld(whole)
}

// flushHeld writes what is held back.
func (s *socket) flushHeld() error { return s.writeHeld(s.hold.take()) }

// writeHeld writes n bytes, of which the call that brought them has told
// already that they were taken. What finds no room is held back again.
func (s *socket) writeHeld(n int) error {
	if n == 0 {
		return nil
	}
	var done int
	var err error
	atOnceOnly(s.conn.SetWriteDeadline, func() { done, err = s.conn.Write(s.text(n)) })
	s.written += done
	if isTimeout(err) {
		s.hold.n += n - done
		s.hold.until = time.Now().Add(holdTime)
		return nil
	}
	return err
}

// cork begins or ends to hold all writes back.
func (s *socket) cork(on bool) {
	if s.hold.corked = on; !on {
		s.flushHeld()
	}
}

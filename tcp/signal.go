package tcp

import "time"

// A Signal is what a connection tells its user without being asked (RFC 9293
// section 3.9.1.8). Several may come as one.
type Signal struct {
	// Urgent: an urgent pointer has come that is ahead of what was read;
	// Info.Urgent says by how much (MUST-32, MUST-33).
	Urgent bool

	// Failing: the peer has not answered three transmissions in a row; the
	// connection goes on until the user timeout (R1 and R2 of section 3.8.3,
	// SHLD-9).
	Failing bool

	// Err is the latest soft error: an ICMP error that does not end the
	// connection (MUST-47, SHLD-25); nil when there is none.
	Err error
}

func (s *Signal) any() bool { return s.Urgent || s.Failing || s.Err != nil }

// add takes a later signal.
func (s *Signal) add(later Signal) {
	s.Urgent = s.Urgent || later.Urgent
	s.Failing = s.Failing || later.Failing
	if later.Err != nil {
		s.Err = later.Err
	}
}

// Signals returns the channel on which the connection tells what happens to
// it; always the same one. Whoever does not call it is not told (SHLD-20). The
// channel holds one Signal, which grows until it is received, and is closed
// when the connection has ended.
func (c *Conn) Signals() <-chan Signal {
	c.take()
	if c.signals == nil {
		c.signals = make(chan Signal, 1)
		if c.t == nil { // it has ended without having told anybody
			close(c.signals)
		} else {
			c.unpark() // for settle to tell what there is to tell already
		}
	}
	signals := c.signals
	c.put(time.Now())
	return signals
}

// signal tells the user what there is to tell, together with what has not been
// received yet.
func (c *Conn) signal() {
	s := Signal{}
	select {
	case s = <-c.signals:
	default:
	}
	s.add(c.t.signal)
	c.t.signal = Signal{}
	c.signals <- s // there is room, and nobody else sends
}

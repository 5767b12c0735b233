package tcp

import "time"

// A Notice is what a connection tells its user without being asked (RFC 9293
// section 3.9.1.8). Several may come as one.
type Notice struct {
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

func (n *Notice) any() bool { return n.Urgent || n.Failing || n.Err != nil }

// add takes a later notice.
func (n *Notice) add(later Notice) {
	n.Urgent = n.Urgent || later.Urgent
	n.Failing = n.Failing || later.Failing
	if later.Err != nil {
		n.Err = later.Err
	}
}

// Notices returns the channel on which the connection tells what happens to
// it; always the same one. Whoever does not call it is not told (SHLD-20). The
// channel holds one Notice, which grows until it is received, and is closed
// when the connection has ended.
func (c *Conn) Notices() <-chan Notice {
	ran := c.do(func(time.Time, *tcb) {
		if c.notices == nil {
			c.notices = make(chan Notice, 1)
		}
	})
	if !ran && c.notices == nil { // the process has ended without having told anybody
		ended := make(chan Notice)
		close(ended)
		return ended
	}
	return c.notices
}

// notify tells the user what there is to tell, together with what has not been
// received yet.
func (p *process) notify() {
	n := Notice{}
	select {
	case n = <-p.Conn.notices:
	default:
	}
	n.add(p.t.notice)
	p.t.notice = Notice{}
	p.Conn.notices <- n // there is room, and nobody else sends
}

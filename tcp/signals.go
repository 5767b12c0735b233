package tcp

import "time"

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
	c.signals <- c.t.TakeSignal(s) // there is room, and nobody else sends
}

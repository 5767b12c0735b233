package tcp

import "sync/atomic"

// An event is what a connection tells the demultiplexer: how a Fast Open has gone,
// and, last, that it has ended. With that the connection hands over its state, and
// what is still in its mailbox.
type event struct {
	flow     flow
	fastOpen *fastOpen // nil when there is nothing to tell
	ended    *Conn     // the connection has ended,
	t        *tcb      // and this was its state
	pressed  bool      // all connections together hold too much
}

// events are those that the demultiplexer has not taken yet. Who tells does not
// wait: there are at most two of each connection.
type events struct {
	list[event]
	pressed atomic.Bool // that is among them
}

// press tells that all connections together hold too much.
func (e *events) press() {
	if !e.pressed.Swap(true) {
		e.push(event{pressed: true})
	}
}

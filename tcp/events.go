package tcp

import (
	"sync/atomic"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/machine"
)

// An event is what a connection tells the demultiplexer: how a Fast Open has gone,
// and, last, that it has ended. With that the connection hands over its state, and
// what is still in its mailbox.
type event struct {
	flow     ip.Flow
	fastOpen *machine.FastOpen // nil when there is nothing to tell
	ended    *Conn             // the connection has ended,
	t        *machine.TCB      // and this was its state
	pressed  bool              // all connections together hold too much
}

// events are those that the demultiplexer has not taken yet. Who tells does not
// wait: there are at most two of each connection.
type events struct {
	list[event]
	inbox   *edge.Inbox // of the demultiplexer
	pressed atomic.Bool // that is among them
}

func (e *events) tell(x event) {
	e.push(&listed[event]{thing: x})
	if e.inbox != nil {
		e.inbox.Ring()
	}
}

// press tells that all connections together hold too much.
func (e *events) press() {
	if !e.pressed.Swap(true) {
		e.tell(event{pressed: true})
	}
}

package machine

import (
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// What a connection no longer needs serves the next one: a server whose
// connections are short would otherwise spend a good part of its time on memory.

// maxFree bounds each free list.
const maxFree = 64

// freeLists are the memory of connections. Those that make their connections from
// it must let nobody keep what they give back.
type freeLists struct {
	tcbs      []*TCB
	transfers TransferPool
}

// TransferPool is a free list that all share who have the state of a connection.
type TransferPool interface {
	Take() *Transfer // a free one, or a new one
	Put(a *Transfer) // makes a free, if there is room
}

// newTCB returns a connection in CLOSED, without congestion control as yet: it
// begins with the handshake.
func (l *freeLists) newTCB(cfg *Config, stats *Stats, f ip.Flow, iss segment.Seq, mtu int) *TCB {
	t := l.takeTCB()
	t.Transfer = l.transfers.Take()
	t.begin(cfg, stats, f, iss, mtu)
	return t
}

func (l *freeLists) takeTCB() *TCB {
	last := len(l.tcbs) - 1
	if last < 0 {
		return new(TCB)
	}
	t := l.tcbs[last]
	l.tcbs[last], l.tcbs = nil, l.tcbs[:last]
	return t
}

// putTCB takes a connection that has given back its packets.
func (l *freeLists) putTCB(t *TCB) {
	l.transfers.Put(t.Transfer)
	*t = TCB{}
	if len(l.tcbs) < maxFree {
		l.tcbs = append(l.tcbs, t)
	}
}

// Reset leaves of a nothing but the memory of its queues, of which a queue keeps
// little once it is empty. It returns a.
func (a *Transfer) Reset() *Transfer {
	a.board.flights.Clear()
	a.sendq.parts.Clear()
	a.recvq.ready.Clear()
	a.waiting.queue.Clear()
	flights, parts, ready, waiting := a.board.flights, a.sendq.parts, a.recvq.ready, a.waiting
	*a = Transfer{} // and not with values in it, for which the compiler makes a copy on the stack
	a.board.flights, a.sendq.parts, a.recvq.ready, a.waiting = flights, parts, ready, waiting
	return a
}

// noPool is the free list of who has none.
type noPool struct{}

func (noPool) Take() *Transfer { return new(Transfer) }

func (noPool) Put(*Transfer) {}

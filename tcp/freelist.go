package tcp

import "github.com/seed-012105e5/gonet/ip"

// What a connection no longer needs serves the next one: a server whose
// connections are short would otherwise spend a good part of its time on memory.

// maxFree bounds each free list.
const maxFree = 64

// freeLists are the memory of connections. Those that make their connections from
// it must let nobody keep what they give back.
type freeLists struct {
	tcbs       []*tcb
	activities activities
}

// activities is a free list that all share who have the state of a connection.
type activities interface {
	take() *activity // a free one, or a new one
	put(a *activity) // makes a free, if there is room
}

// newTCB returns a connection in CLOSED, without congestion control as yet: it
// begins with the handshake.
func (l *freeLists) newTCB(cfg *Config, stats *Stats, f ip.Flow, iss seq, mtu int) *tcb {
	t := l.takeTCB()
	t.activity = l.activities.take()
	t.begin(cfg, stats, f, iss, mtu)
	return t
}

func (l *freeLists) takeTCB() *tcb {
	last := len(l.tcbs) - 1
	if last < 0 {
		return new(tcb)
	}
	t := l.tcbs[last]
	l.tcbs[last], l.tcbs = nil, l.tcbs[:last]
	return t
}

// putTCB takes a connection that has given back its packets.
func (l *freeLists) putTCB(t *tcb) {
	l.activities.put(t.activity)
	*t = tcb{}
	if len(l.tcbs) < maxFree {
		l.tcbs = append(l.tcbs, t)
	}
}

// reset leaves of a nothing but the memory of its queues, of which a queue keeps
// little once it is empty. It returns a.
func (a *activity) reset() *activity {
	a.board.flights.Clear()
	a.sendq.parts.Clear()
	a.recvq.ready.Clear()
	a.waiting.queue.Clear()
	flights, parts, ready, waiting := a.board.flights, a.sendq.parts, a.recvq.ready, a.waiting
	*a = activity{} // and not with values in it, for which the compiler makes a copy on the stack
	a.board.flights, a.sendq.parts, a.recvq.ready, a.waiting = flights, parts, ready, waiting
	return a
}

// noActivities is the free list of who has none.
type noActivities struct{}

func (noActivities) take() *activity { return new(activity) }
func (noActivities) put(*activity)   {}

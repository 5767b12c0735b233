package tcp

// What a connection no longer needs serves the next one: a server whose
// connections are short would otherwise spend a good part of its time on memory.

// maxFree bounds each free list.
const maxFree = 64

// freeLists are the memory of connections. Those that make their connections from
// it must let nobody keep what they give back.
type freeLists struct {
	tcbs       []*tcb
	activities chan *activity // of whoever has the state of a connection
}

func newFreeLists() freeLists { return freeLists{activities: make(chan *activity, maxFree)} }

// newTCB returns a connection in CLOSED, without congestion control as yet: it
// begins with the handshake.
func (l *freeLists) newTCB(cfg *Config, stats *Stats, f flow, iss seq, mtu int) *tcb {
	t := l.takeTCB()
	t.activity = takeActivity(l.activities)
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
	putActivity(l.activities, t.activity)
	*t = tcb{}
	if len(l.tcbs) < maxFree {
		l.tcbs = append(l.tcbs, t)
	}
}

// takeActivity returns a free activity, or a new one.
func takeActivity(free <-chan *activity) *activity {
	select {
	case a := <-free:
		return a
	default:
		return new(activity)
	}
}

// putActivity makes a free, if there is room.
func putActivity(free chan<- *activity, a *activity) {
	a.reset()
	select {
	case free <- a:
	default:
	}
}

// reset leaves of a nothing but the memory of its queues, of which a queue keeps
// little once it is empty.
func (a *activity) reset() {
	a.board.flights.Clear()
	a.sendq.parts.Clear()
	a.recvq.ready.Clear()
	a.waiting.queue.Clear()
	*a = activity{
		board: scoreboard{flights: a.board.flights},
		sendq: sendQueue{parts: a.sendq.parts},
		recvq: recvQueue{ready: a.recvq.ready},

		waiting: a.waiting,
	}
}

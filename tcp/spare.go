package tcp

// What a connection no longer needs serves the next one: a server whose
// connections are short would otherwise spend a good part of its time on memory.
// Only what nobody else can still reach is kept: no desk, since a user may stand
// at an old one.

// mostSpare bounds each stock.
const mostSpare = 64

// A stock is of things that have been used and are as if new.
type stock[T any] struct{ spare []*T }

// take returns a spare one, or a new one.
func (s *stock[T]) take() *T {
	last := len(s.spare) - 1
	if last < 0 {
		return new(T)
	}
	x := s.spare[last]
	s.spare[last], s.spare = nil, s.spare[:last]
	return x
}

// put keeps x, if there is room.
func (s *stock[T]) put(x *T) {
	if len(s.spare) < mostSpare {
		s.spare = append(s.spare, x)
	}
}

// spares is the memory of connections. Those that make their connections from
// it must let nobody keep what they give back.
type spares struct {
	tcbs       stock[tcb]
	activities stock[activity]
}

// newTCB returns a connection in CLOSED, without congestion control as yet: it
// begins with the handshake.
func (s *spares) newTCB(cfg *Config, stats *Stats, f flow, iss seq, mtu int) *tcb {
	t := s.tcbs.take()
	t.activity = s.activities.take()
	t.begin(cfg, stats, f, iss, mtu)
	return t
}

// putTCB takes a connection that has given back its packets.
func (s *spares) putTCB(t *tcb) {
	s.putActivity(t.activity)
	*t = tcb{}
	s.tcbs.put(t)
}

func (s *spares) putActivity(a *activity) {
	a.reset()
	s.activities.put(a)
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

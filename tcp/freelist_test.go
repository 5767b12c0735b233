package tcp

import (
	"reflect"
	"testing"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/packet"
)

// A pool keeps all transfer states that it is given.
type pool []*activity

func (p *pool) take() *activity { return new(activity) }
func (p *pool) put(a *activity) { *p = append(*p, a.reset()) }

// TestFreeList: of a connection, in whatever state it has been, nothing is left for
// the next one but the memory of its queues, and not more is kept than the bound
// allows.
func TestFreeList(t *testing.T) {
	leakCheck(t)
	var free pool
	l := freeLists{activities: &free}
	for s := range State(len(stateNames)) {
		n := newNode(Config{}, testISS)
		stateTo(n, s)
		if n.t == nil {
			continue
		}
		if n.t.write(n.now, make([]byte, 3000)); n.t.state.synchronized() {
			n.pump()
			n.arrives(n.flow, segment{seq: n.t.rcv.nxt.add(5), ack: n.t.snd.una, flags: ACK, window: 1000, len: 9, text: piece(0, 9, 0)})
		}
		n.t.ownOptions().keepAlive = true
		n.end()
		l.putTCB(n.t)
	}
	if len(l.tcbs) < int(TimeWait-SynSent) || len(free) != len(l.tcbs) {
		t.Errorf("%d connections, %d transfer states", len(l.tcbs), len(free))
	}
	for _, c := range l.tcbs {
		if !reflect.DeepEqual(*c, tcb{}) {
			t.Errorf("of a connection is left %+v", *c)
		}
	}
	for _, a := range free {
		if a.board.flights.Len()+a.sendq.parts.Len()+a.recvq.ready.Len()+a.waiting.queue.Len() > 0 {
			t.Error("a queue is not empty")
		}
		rest := *a
		rest.board.flights, rest.sendq.parts, rest.recvq.ready = ring.Queue[flight]{}, ring.Queue[part]{}, ring.Queue[*packet.Buffer]{}
		rest.waiting = submissions{}
		if !reflect.DeepEqual(rest, activity{}) {
			t.Errorf("of a transfer state is left %+v", rest)
		}
	}
	for range 2 * maxFree {
		l.putTCB(&tcb{activity: new(activity)})
	}
	if len(l.tcbs) != maxFree {
		t.Errorf("%d connections are kept", len(l.tcbs))
	}
}

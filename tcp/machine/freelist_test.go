package machine

import (
	"reflect"
	"testing"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A pool keeps all transfer states that it is given.
type pool []*Transfer

func (p *pool) Take() *Transfer { return new(Transfer) }

func (p *pool) Put(a *Transfer) { *p = append(*p, a.Reset()) }

// TestFreeList: of a connection, in whatever state it has been, nothing is left for
// the next one but the memory of its queues, and not more is kept than the bound
// allows.
func TestFreeList(t *testing.T) {
	tcptest.LeakCheck(t)
	var free pool
	l := freeLists{transfers: &free}
	for s := range State(len(stateNames)) {
		n := newNode(Config{}, tcptest.ISS)
		stateTo(n, s)
		if n.t == nil {
			continue
		}
		if n.t.Write(n.now, make([]byte, 3000)); n.t.state.synchronized() {
			n.pump()
			n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt.Add(5), Ack: n.t.snd.una, Flags: segment.ACK, Window: 1000, Len: 9, Text: tcptest.Piece(0, 9, 0)})
		}
		n.t.OwnOptions().KeepAlive = true
		n.end()
		l.putTCB(n.t)
	}
	if len(l.tcbs) < int(TimeWait-SynSent) || len(free) != len(l.tcbs) {
		t.Errorf("%d connections, %d transfer states", len(l.tcbs), len(free))
	}
	for _, c := range l.tcbs {
		if !reflect.DeepEqual(*c, TCB{}) {
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
		if !reflect.DeepEqual(rest, Transfer{}) {
			t.Errorf("of a transfer state is left %+v", rest)
		}
	}
	for range 2 * maxFree {
		l.putTCB(&TCB{Transfer: new(Transfer)})
	}
	if len(l.tcbs) != maxFree {
		t.Errorf("%d connections are kept", len(l.tcbs))
	}
}

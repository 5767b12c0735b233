package machine

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/arrives"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestAbortIsTaken: RFC9293-3.10.5: in every state, wherever the peer stands, it
// takes a reset of ours: one that goes out at once, or the answer to its challenge.
// When the stack ends nobody gives that answer, and then it takes one of the first.
func TestAbortIsTaken(t *testing.T) {
	tcptest.LeakCheck(t)
	for _, last := range []bool{false, true} {
		for i := range sceneCases {
			c := &sceneCases[i]
			for _, window := range []int{3000, 500, 0} {
				for _, at := range []string{"SND.UNA", "the edge", "SND.NXT"} {
					name := fmt.Sprintf("%s, window %d, the peer at %s", c.name, window, at)
					sc := newScene(false)
					c.build(sc)
					if sc.t == nil || !sc.t.state.synchronized() {
						sc.end()
						continue
					}
					sc.t.snd.wnd = window // if it was more before, it has shrunk
					una, nxt := sc.t.snd.una, sc.t.snd.nxt
					edge := una.Add(window)
					peer := arrives.TCB{State: arrives.Established, RcvNxt: uint32(una), SndUna: uint32(sc.t.rcv.nxt), SndNxt: uint32(sc.t.rcv.nxt), MaxWnd: sceneWindow}
					switch {
					case at == "the edge" && edge.Before(nxt):
						peer.RcvNxt = uint32(edge)
					case at == "SND.NXT":
						peer.RcvNxt = uint32(nxt)
					}
					peer.RcvWnd = uint32(max(0, edge.Sub(segment.Seq(peer.RcvNxt))))
					sc.sent = nil
					if sc.t.orphan = false; last {
						sc.t.Depart()
					} else {
						sc.t.Abort(net.ErrClosed)
					}
					sc.pump()
					if !sc.isTaken(t, name, peer, last) {
						t.Errorf("last %v, %s: not taken: %v", last, name, sc.sent)
					}
					if sc.t.state != Closed || !errors.Is(sc.t.err, net.ErrClosed) || !sc.t.Deadline().IsZero() || !sc.t.Over() {
						t.Errorf("%s: %v, %v is left", name, sc.t.state, sc.t.err)
					}
					sc.end()
				}
			}
		}
	}
}

// isTaken says whether the peer takes one of the resets that were sent.
func (sc *scene) isTaken(t *testing.T, name string, peer arrives.TCB, last bool) bool {
	t.Helper()
	if n := len(sc.sent); n == 0 || n > 3 {
		t.Errorf("%s: %d resets", name, n)
	}
	for i := range sc.sent {
		s := &sc.sent[i]
		o := arrives.Outcomes(peer, arrives.Segment{Seq: uint32(s.Seq), Ack: uint32(s.Ack), Flags: uint8(s.Flags)})[0]
		if !o.Refused && o.State == arrives.Closed {
			return true
		}
		if o.Answer == arrives.Acknowledge && !last {
			// The challenge comes to a connection that does not exist any more.
			answer := arrives.Outcomes(arrives.TCB{}, arrives.Segment{Flags: arrives.ACK, Ack: peer.RcvNxt})[0]
			return answer.Answer == arrives.Reset
		}
	}
	return false
}

// TestDepartWhileOpening: in SYN-SENT a stack that ends sends the reset that its
// absence would be answered by, and otherwise nothing (section 3.10.5).
func TestDepartWhileOpening(t *testing.T) {
	for _, last := range []bool{false, true} {
		sc := newScene(false)
		sc.open()
		sc.sent = nil
		if last {
			sc.t.Depart()
		} else {
			sc.t.Abandon(nil)
		}
		sc.pump()
		if last && (len(sc.sent) != 1 || sc.sent[0].Flags != segment.RST || sc.sent[0].Seq != tcptest.ISS+1) || !last && len(sc.sent) > 0 {
			t.Errorf("last %v: sent %v", last, sc.sent)
		}
		sc.end()
	}
}

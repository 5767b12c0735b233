package machine

import (
	"fmt"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// dump is all that a machine knows but the text, to see whether it has changed.
// What is only remembered to be found faster is left out.
func dump(t *TCB) string {
	c, a := *t, *t.Transfer
	c.Transfer, a.board.hint, a.sendq.parts = nil, 0, ring.Queue[part]{}
	return fmt.Sprintf("%+v %+v %+v %+v", c, a, t.cc, t.detector)
}

// checkInvariants says what is wrong with t, which must hold between any two
// events.
func checkInvariants(t *TCB) error {
	if err := checkReceiver(t); err != nil {
		return fmt.Errorf("%v: %v", t.state, err)
	}
	if t.state == Closed {
		if d := t.Deadline(); !d.IsZero() {
			return fmt.Errorf("timer %v in CLOSED", d)
		}
		return nil
	}
	if err := checkSender(t); err != nil {
		return fmt.Errorf("%v: %v", t.state, err)
	}
	return nil
}

// checkSender is RFC 9293 section 3.3.1, figure 3.
func checkSender(t *TCB) error {
	una, nxt := t.snd.una, t.snd.nxt
	behind := t.sendq.end()
	if t.finQueued {
		behind++
	}
	switch {
	case una.After(nxt):
		return fmt.Errorf("SND.UNA %d is beyond SND.NXT %d", una, nxt)
	case nxt.After(behind):
		return fmt.Errorf("SND.NXT %d is beyond all that there is to send, %d", nxt, behind)
	case t.sendq.len > t.sendq.limit:
		return fmt.Errorf("%d bytes queued, limit %d", t.sendq.len, t.sendq.limit)
	case t.cc.Window() < t.snd.mss && t.cc.Window() < defaultMSS:
		return fmt.Errorf("cwnd %d, mss %d", t.cc.Window(), t.snd.mss)
	case t.snd.wnd < 0 || t.state.synchronized() && t.snd.wnd > t.snd.maxWnd:
		return fmt.Errorf("SND.WND %d, largest %d", t.snd.wnd, t.snd.maxWnd)
	case una != nxt && t.rtoAt.IsZero() && t.state != TimeWait:
		return fmt.Errorf("%d in flight without a timer", nxt.Sub(una))
	}
	return checkBoard(&t.board, una, nxt)
}

// checkBoard compares the sums of a scoreboard with those of its flights.
func checkBoard(s *scoreboard, una, nxt segment.Seq) error {
	var total, sacked, lost, resent int
	at := una
	for i := range s.flights.Len() {
		f := s.flights.At(i)
		if f.start != at || f.len() <= 0 {
			return fmt.Errorf("flight %d is %d:%d, want it to start at %d", i, f.start, f.end, at)
		}
		at = f.end
		total += f.len()
		if f.sacked {
			sacked += f.len()
		}
		if f.lost {
			lost += f.len()
		}
		if f.resent {
			resent += f.len()
		}
		if f.sacked && f.lost || f.resent && !f.lost {
			return fmt.Errorf("flight %+v contradicts itself", *f)
		}
		if i < s.hint && f.lost && !f.resent {
			return fmt.Errorf("lost flight %d is before the hint %d", i, s.hint)
		}
	}
	if at != nxt || total != s.total || sacked != s.sacked || lost != s.lost || resent != s.resent {
		return fmt.Errorf("scoreboard %d:%d has sums %d %d %d %d, its flights end at %d and have %d %d %d %d",
			una, nxt, s.total, s.sacked, s.lost, s.resent, at, total, sacked, lost, resent)
	}
	return nil
}

// checkReceiver is RFC 9293 section 3.3.1, figure 4, and the bounds of memory.
func checkReceiver(t *TCB) error {
	if err := checkRecvQueue(&t.recvq, t.rcv.nxt); err != nil {
		return err
	}
	if t.state < Established {
		return nil
	}
	promised := t.rcv.edge.Sub(t.rcv.nxt)
	grain := 1<<t.rcv.scale - 1
	field := int(t.windowField()) << t.rcv.scale
	switch {
	case promised < 0:
		return fmt.Errorf("RCV.NXT is %d beyond the right edge", -promised)
	case promised+t.recvq.readyLen > windowBound(t):
		return fmt.Errorf("%d bytes unread and %d promised, limit %d", t.recvq.readyLen, promised, t.recvq.limit)
	case field < promised-grain && field>>t.rcv.scale != 0xffff:
		return fmt.Errorf("the window shrinks from %d to %d", promised, field)
	}
	return nil
}

// windowBound is how much may be unread and promised: the limit, and what
// rounding to the scale adds.
func windowBound(t *TCB) int { return t.recvq.limit + t.recvq.limit/8 + 2<<t.rcv.scale + 2 }

// checkRecvQueue checks order, sums and bounds.
func checkRecvQueue(q *recvQueue, nxt segment.Seq) error {
	ready := 0
	for i := range q.ready.Len() {
		ready += (*q.ready.At(i)).Len()
	}
	ahead, size := 0, 0
	for i, c := range q.ahead {
		if !c.start.After(nxt) || c.b.Len() == 0 {
			return fmt.Errorf("piece %d is at %d, RCV.NXT is %d", i, c.start, nxt)
		}
		if i > 0 && c.start.Before(q.ahead[i-1].start.Add(q.ahead[i-1].b.Len())) {
			return fmt.Errorf("piece %d overlaps the one before", i)
		}
		ahead += c.b.Len()
		size += c.b.Size()
	}
	if ready != q.readyLen || ahead != q.aheadLen || size != q.aheadSize {
		return fmt.Errorf("sums %d %d %d, should be %d %d %d", q.readyLen, q.aheadLen, q.aheadSize, ready, ahead, size)
	}
	if len(q.ahead) > q.mostAhead() {
		return fmt.Errorf("%d pieces ahead", len(q.ahead))
	}
	for i, b := range q.blocks {
		if !b.Left.Before(b.Right) || !b.Left.After(nxt) {
			return fmt.Errorf("SACK block %d is %d:%d, RCV.NXT is %d", i, b.Left, b.Right, nxt)
		}
	}
	return nil
}

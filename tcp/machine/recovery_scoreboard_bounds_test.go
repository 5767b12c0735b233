package machine

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// wide is congestion control that limits nothing.
type wide struct{ congestion.Controller }

func (wide) Window() int { return 1 << 30 }

// inFlight is a node with n bytes in flight to a peer that permits SACK and has a
// large window. Recovery names how it finds losses.
func inFlight(t testing.TB, recovery string, n int) *node {
	t.Helper()
	cfg := Config{Recovery: recovery, SendBuffer: 64 << 20}
	x := newNode(cfg, tcptest.ISS)
	x.open()
	x.pump()
	x.advance(x.now.Add(100 * time.Millisecond))
	x.arrives(x.flow, segment.Segment{Seq: tcptest.IRS, Ack: tcptest.ISS + 1, Flags: segment.SYN | segment.ACK, Window: 65535, Opts: segment.Options{
		MSS: 1460, SackPermitted: true, HasScale: true, Scale: 14,
	}})
	x.t.snd.wnd, x.t.snd.maxWnd = 1<<30, 1<<30
	x.t.cc = wide{x.t.cc}
	if _, err := x.t.Write(x.now, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	x.pumpUnchecked()
	if got := x.t.board.total; got != n || x.err != nil {
		t.Fatalf("%d bytes in flight, want %d: %v", got, n, x.err)
	}
	x.sent = nil
	t.Cleanup(x.end)
	return x
}

// pumpUnchecked is pump without a look at all state after each segment, which
// takes minutes where there is much of it.
func (n *node) pumpUnchecked() {
	for s, ok := output(n.t, n.now); ok; s, ok = output(n.t, n.now) {
		n.sent = append(n.sent, tcptest.WireSegment{Segment: s, Flow: n.flow})
		n.t.sent(n.now, &s)
	}
	n.t.Blocked(n.now)
}

// sacks has an acknowledgement of una arrive with blocks, relative to una.
func (n *node) sacks(una int, blocks ...[2]int) {
	s := segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.iss.Add(1 + una), Flags: segment.ACK, Window: 65535}
	for i, b := range blocks {
		s.Opts.SACK[i] = segment.Block{Left: n.t.snd.iss.Add(1 + b[0]), Right: n.t.snd.iss.Add(1 + b[1])}
	}
	s.Opts.SACKs = len(blocks)
	n.arrives(n.flow, s)
}

// TestSACKOfBytes: RFC2018-8, RFC6675-4: blocks of one byte at every eighth byte
// tell of no segment that has arrived. They neither cut the scoreboard in pieces
// nor have anything sent again, whatever finds the losses.
func TestSACKOfBytes(t *testing.T) {
	for _, recovery := range []string{"rack", "sack"} {
		const size = 10 * 1460
		n := inFlight(t, recovery, size)
		was := n.t.board.flights.Len()
		for at := 0; at+32 < size; at += 32 {
			n.sacks(0, [2]int{at, at + 1}, [2]int{at + 8, at + 9}, [2]int{at + 16, at + 17}, [2]int{at + 24, at + 25})
			n.now = n.now.Add(time.Millisecond)
			n.pump()
		}
		if n.err != nil {
			t.Fatal(n.err)
		}
		if is := n.t.board.flights.Len(); is > was || n.t.board.sacked > 0 {
			t.Errorf("%s: %d flights have become %d, %d bytes count as arrived", recovery, was, is, n.t.board.sacked)
		}
		if r := n.stats.Retransmits.Load(); r > 0 {
			t.Errorf("%s: %d segments sent again", recovery, r)
		}
		if n.stats.IgnoredSACKs.Load() == 0 {
			t.Errorf("%s: the blocks are not counted", recovery)
		}
	}
}

// TestScoreboardBound: whatever is noted on a full scoreboard, it has maxFlights
// flights at most, and its sums are right.
func TestScoreboardBound(t *testing.T) {
	const segments, unit = 4, 10
	last := maxFlights - 1 // flights of one byte lie between the first and the last
	end := 2*segments*unit + maxFlights - 2
	for name, note := range map[string]func(m *boardModel, w *witness){
		"an acknowledgement": func(m *boardModel, w *witness) { m.s.ack(m.seq(unit+3), w); m.una = unit + 3 },
		"a SACK block":       func(m *boardModel, w *witness) { m.s.sack(m.seq(unit), m.seq(2*unit), w) },
		"its end":            func(m *boardModel, w *witness) { m.s.sack(m.seq(0), m.seq(2*unit), w) },
		"its beginning":      func(m *boardModel, w *witness) { m.s.sack(m.seq(end-unit), m.seq(end), w) },
		"a first loss":       func(m *boardModel, w *witness) { m.s.markFirstLost(unit) },
		"a last loss":        func(m *boardModel, w *witness) { m.s.markLastLost(unit) },
		"a beginning again": func(m *boardModel, w *witness) {
			m.s.markAllLost()
			m.s.resend(m.seq(0), m.seq(unit), m.now, sending{})
		},
		"an end again": func(m *boardModel, w *witness) {
			m.s.markLost(last)
			m.s.resend(m.seq(end-unit), m.seq(end), m.now, sending{})
		},
		"a middle again": func(m *boardModel, w *witness) {
			m.s.markLost(0)
			m.s.resend(m.seq(unit), m.seq(2*unit), m.now, sending{})
		},
	} {
		m := newBoardModel(t)
		m.push(segments*unit, unit)
		for range maxFlights - 2 {
			m.push(1, 0)
		}
		m.push(segments*unit, unit)
		if !m.s.full() {
			t.Fatalf("%d flights", m.s.flights.Len())
		}
		note(m, m.witness())
		if n := m.s.flights.Len(); n > maxFlights {
			t.Errorf("%s: %d flights", name, n)
		}
		if err := checkBoard(&m.s, m.seq(m.una), m.seq(m.nxt)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSACKedRunsTakeOnePlace: what has arrived in a row is one flight, so that a
// peer that acknowledges it by SACK alone does not fill the scoreboard.
func TestSACKedRunsTakeOnePlace(t *testing.T) {
	n := inFlight(t, "rack", 1000*1460)
	for i := 1; i < 1000; i++ {
		n.sacks(0, [2]int{i * 1460, (i + 1) * 1460})
	}
	if got := n.t.board.flights.Len(); got != 2 {
		t.Errorf("%d flights: one segment that is missing, and the run behind it", got)
	}
}

// TestFullBoardRecovers: a transfer ends although every segment of its window has
// a hole behind it and the scoreboard has no room.
func TestFullBoardRecovers(t *testing.T) {
	const size = 2 * maxFlights * 1460
	n := inFlight(t, "rack", size)
	for i := 1; i < 2*maxFlights; i += 8 {
		n.sacks(0, [2]int{i * 1460, (i + 1) * 1460}, [2]int{(i + 2) * 1460, (i + 3) * 1460},
			[2]int{(i + 4) * 1460, (i + 5) * 1460}, [2]int{(i + 6) * 1460, (i + 7) * 1460})
	}
	if got := n.t.board.flights.Len(); got != maxFlights {
		t.Fatalf("%d flights", got)
	}
	peer := newHoles(n, 2*maxFlights)
	for range 100 {
		n.pumpUnchecked()
		if n.sacks(peer.take(n)); n.t.flightEmpty() || n.err != nil {
			break
		}
		if n.now = n.now.Add(100 * time.Millisecond); Due(n.t.Deadline(), n.now) {
			n.t.Expire(n.now)
		}
	}
	n.check()
	if !n.t.flightEmpty() || n.err != nil {
		t.Errorf("%d bytes are still in flight: %v", n.t.board.total, n.err)
	}
}

// holes is a peer that has every second segment of so many, and takes the others.
type holes struct{ has []bool }

func newHoles(n *node, segments int) *holes {
	h := &holes{make([]bool, segments)}
	for i := 1; i < segments; i += 2 {
		h.has[i] = true
	}
	return h
}

// take takes what n has sent, and returns what is acknowledged by that.
func (h *holes) take(n *node) (una int) {
	for _, s := range n.sent {
		from := s.Seq.Sub(n.t.snd.iss + 1)
		for i := (from + 1459) / 1460; (i+1)*1460 <= from+s.Len; i++ {
			h.has[i] = true
		}
	}
	n.sent = nil
	for una/1460 < len(h.has) && h.has[una/1460] {
		una += 1460
	}
	return una
}

// BenchmarkSACK is what an acknowledgement costs with four SACK blocks of a
// segment each, of a scoreboard on which every second segment has arrived. Its
// worst is that of the blocks which come in a random order.
func BenchmarkSACK(b *testing.B) {
	for _, flights := range []int{128, 1024, maxFlights} {
		b.Run(strconv.Itoa(flights), func(b *testing.B) {
			segments := flights
			var n *node
			var order []int
			for i := 0; b.Loop(); i++ {
				if i%(segments/2/4) == 0 {
					b.StopTimer()
					n = inFlight(b, "rack", segments*1460)
					order = rand.New(rand.NewPCG(1, 2)).Perm(segments / 2)
					b.StartTimer()
				}
				var blocks [4][2]int
				for j := range blocks {
					at := (2*order[i%(segments/2/4)*4+j] + 1) * 1460
					blocks[j] = [2]int{at, at + 1460}
				}
				n.sacks(0, blocks[:]...)
			}
		})
	}
}

// BenchmarkSACKOfSmall is the same where each flight is a small segment of its
// own, and none is known to be lost: each block tells of the last but one.
func BenchmarkSACKOfSmall(b *testing.B) {
	for _, flights := range []int{128, 1024, maxFlights} {
		b.Run(strconv.Itoa(flights), func(b *testing.B) {
			var n *node
			for i := 0; b.Loop(); i++ {
				if i%(flights/2) == 0 {
					b.StopTimer()
					n = inFlight(b, "rack", 100)
					n.t.rtt.sample(n.now, time.Hour) // so that none is due
					n.t.reordering = reordering{seen: true, mult: 4}
					for range flights - 1 {
						n.now = n.now.Add(time.Microsecond)
						n.t.Write(n.now, make([]byte, 100))
						n.pumpUnchecked()
					}
					b.StartTimer()
				}
				at := 100 * (flights/2 + i%(flights/2))
				n.sacks(0, [2]int{at, at + 100})
			}
		})
	}
}

package machine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestReceiverRTT: a window's turn shows the shortest round trip.
func TestReceiverRTT(t *testing.T) {
	const ms = time.Millisecond
	var r receiveTuning
	now, nxt := tcptest.Start, tcptest.IRS
	turn := func(d time.Duration) {
		now, nxt = now.Add(d), nxt.Add(1000)
		r.turned(now, nxt, nxt.Add(1000))
	}
	want := func(why string, d time.Duration) {
		t.Helper()
		if r.rtt != d {
			t.Errorf("%s: %v, want %v", why, r.rtt, d)
		}
	}
	turn(0)
	want("before the first turn", 0)
	turn(100 * ms)
	want("a turn", 100*ms)
	turn(300 * ms)
	want("the sender has paused", 100*ms)
	turn(60 * ms)
	want("a shorter turn", 60*ms)
	r.turned(now.Add(ms), nxt.Add(999), nxt.Add(5000))
	want("the window is not yet used up", 60*ms)
}

// TestDemand: four times what was read in the lesser of two round trips, and a pause is no round trip.
func TestDemand(t *testing.T) {
	r := receiveTuning{rtt: 10 * time.Millisecond}
	now, next := tcptest.Start, tcptest.IRS
	for i, step := range []struct {
		after time.Duration
		read  int
		want  int
	}{
		{0, 0, 0}, {9 * time.Millisecond, 500, 0}, {time.Millisecond, 500, 0}, {10 * time.Millisecond, 1000, 4000},
		{10 * time.Millisecond, 1500, 4000}, {10 * time.Millisecond, 100, 400}, {time.Hour, 0, 0},
	} {
		now, next = now.Add(step.after), next.Add(step.read)
		if got := r.demand(now, next); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
}

// TestBuffersKeepAhead: RFC7323-2.2, SHLD-14: however fast a sender doubles its window, the buffer of a
// reader that keeps up holds it back by two round trips at most, whatever the round trip is.
func TestBuffersKeepAhead(t *testing.T) {
	for _, rtt := range []time.Duration{300 * time.Microsecond, 5 * time.Millisecond, 300 * time.Millisecond} {
		n := established(t, Config{}, segment.Options{MSS: 1460, HasScale: true, HasTimestamps: true}, 65535)
		n.t.tuning.rtt = rtt
		p := make([]byte, 1<<20)
		turns := 0
		for cwnd := 14600; cwnd < 2<<20 && turns < 20; turns++ {
			if n.t.rcv.edge.Sub(n.t.rcv.nxt) >= cwnd {
				cwnd *= 2
			}
			for left := min(cwnd, n.t.rcv.edge.Sub(n.t.rcv.nxt)); left > 0; left -= 14600 {
				k := min(left, 14600)
				n.advance(n.now.Add(rtt * time.Duration(k) / time.Duration(cwnd)))
				n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.nxt, Flags: segment.ACK, Window: 1000, Text: tcptest.Piece(0, k, 0), Len: k, Train: 1460,
					Opts: segment.Options{HasTimestamps: true, TSVal: 1}})
				for n.t.recvq.readyLen > 0 {
					if _, err := n.t.Read(p); err != nil {
						t.Fatal(err)
					}
				}
				n.pump()
			}
		}
		if turns > 10 || n.err != nil { // 8 without any bound
			t.Errorf("round trip %v: %d round trips, %v", rtt, turns, n.err)
		}
	}
}

// TestTunedWindow: SHLD-14, MUST-34: at random, the right edge of a tuned window never moves left by
// more than the scale cuts off, the buffer never shrinks, and is never beyond its bound.
func TestTunedWindow(t *testing.T) {
	tcptest.LeakCheck(t)
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 10))
		cfg := Config{MaxReceiveBuffer: 1 << (16 + rnd.IntN(10))}
		n := newNode(cfg, tcptest.ISS)
		n.open()
		n.pump()
		n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS, Ack: tcptest.ISS + 1, Flags: segment.SYN | segment.ACK, Window: 1000, Opts: segment.Options{MSS: 1460, HasScale: true}})
		n.pump()
		n.sent = nil
		m := n.t
		edge, limit := m.rcv.edge, m.recvq.limit
		p := make([]byte, 1<<20)
		for i := range 400 {
			n.advance(n.now.Add(time.Duration(rnd.IntN(1 << (10 + rnd.IntN(16))))))
			if k := min(m.rcv.edge.Sub(m.rcv.nxt), 1+rnd.IntN(60000)); k > 0 {
				n.arrives(n.flow, segment.Segment{Seq: m.rcv.nxt, Ack: m.snd.nxt, Flags: segment.ACK, Window: 1000, Text: tcptest.Piece(0, k, 0), Len: k, Train: 1460})
			}
			if rnd.IntN(3) > 0 {
				if _, err := m.Read(p[:1+rnd.IntN(len(p))]); err != nil {
					t.Fatal(err)
				}
			}
			n.pump()
			for _, s := range n.sent {
				right := s.Ack.Add(int(s.Window) << m.rcv.scale)
				if d := edge.Sub(right); d > 1<<m.rcv.scale-1 {
					t.Fatalf("seed %d, step %d: the right edge moves left by %d", seed, i, d)
				}
				edge = segment.Later(edge, right)
			}
			n.sent = nil
			if got := m.recvq.limit; got < limit || got > max(limit, cfg.MaxReceiveBuffer) || n.err != nil {
				t.Fatalf("seed %d, step %d: limit %d, was %d: %v", seed, i, got, limit, n.err)
			}
			limit = m.recvq.limit
		}
		n.end()
	}
}

// TestSetBufferEndsTuning: a size that the user sets stays.
func TestSetBufferEndsTuning(t *testing.T) {
	n := newNode(Config{}, tcptest.ISS)
	n.open()
	defer n.end()
	m := n.t
	m.SetReadBuffer(200_000)
	m.SetWriteBuffer(5_000)
	m.snd.wnd = 1 << 20
	m.tuneSend()
	for i := range 10 { // as if a reader had taken much
		m.tuning.since, m.tuning.from = n.now.Add(-time.Hour), m.readNxt().Add(-1<<20*i)
		m.tuneReceive(n.now)
	}
	if i := m.Info(); i.ReceiveBuffer != 200_000 || i.SendBuffer != 5_000 {
		t.Errorf("receive buffer %d, send buffer %d", i.ReceiveBuffer, i.SendBuffer)
	}
}

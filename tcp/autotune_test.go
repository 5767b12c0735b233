package tcp

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestReceiverRTT: a window's turn shows the shortest round trip.
func TestReceiverRTT(t *testing.T) {
	const ms = time.Millisecond
	var r receiveTuning
	now, nxt := start, testIRS
	turn := func(d time.Duration) {
		now, nxt = now.Add(d), nxt.add(1000)
		r.turned(now, nxt, nxt.add(1000))
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
	r.turned(now.Add(ms), nxt.add(999), nxt.add(5000))
	want("the window is not yet used up", 60*ms)
}

// TestDemand: four times what was read in the lesser of two round trips, and a pause is no round trip.
func TestDemand(t *testing.T) {
	r := receiveTuning{rtt: 10 * time.Millisecond}
	now, next := start, testIRS
	for i, step := range []struct {
		after time.Duration
		read  int
		want  int
	}{
		{0, 0, 0}, {9 * time.Millisecond, 500, 0}, {time.Millisecond, 500, 0}, {10 * time.Millisecond, 1000, 4000},
		{10 * time.Millisecond, 1500, 4000}, {10 * time.Millisecond, 100, 400}, {time.Hour, 0, 0},
	} {
		now, next = now.Add(step.after), next.add(step.read)
		if got := r.demand(now, next); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
}

// TestBuffersKeepAhead: RFC7323-2.2, SHLD-14: however fast a sender doubles its window, the buffer of a
// reader that keeps up holds it back by two round trips at most, whatever the round trip is.
func TestBuffersKeepAhead(t *testing.T) {
	for _, rtt := range []time.Duration{300 * time.Microsecond, 5 * time.Millisecond, 300 * time.Millisecond} {
		n := established(t, Config{}, options{mss: 1460, hasScale: true, hasTimestamps: true}, 65535)
		n.t.tuning.rtt = rtt
		p := make([]byte, 1<<20)
		turns := 0
		for cwnd := 14600; cwnd < 2<<20 && turns < 20; turns++ {
			if n.t.rcv.edge.sub(n.t.rcv.nxt) >= cwnd {
				cwnd *= 2
			}
			for left := min(cwnd, n.t.rcv.edge.sub(n.t.rcv.nxt)); left > 0; left -= 14600 {
				k := min(left, 14600)
				n.advance(n.now.Add(rtt * time.Duration(k) / time.Duration(cwnd)))
				n.arrives(n.flow, segment{seq: n.t.rcv.nxt, ack: n.t.snd.nxt, flags: ACK, window: 1000, text: piece(0, k, 0), len: k, train: 1460,
					opts: options{hasTimestamps: true, tsVal: 1}})
				for n.t.recvq.readyLen > 0 {
					if _, err := n.t.read(p); err != nil {
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
	leakCheck(t)
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 10))
		cfg := Config{MaxReceiveBuffer: 1 << (16 + rnd.IntN(10))}
		n := newNode(cfg, testISS)
		n.open()
		n.pump()
		n.arrives(n.flow, segment{seq: testIRS, ack: testISS + 1, flags: SYN | ACK, window: 1000, opts: options{mss: 1460, hasScale: true}})
		n.pump()
		n.sent = nil
		m := n.t
		edge, limit := m.rcv.edge, m.recvq.limit
		p := make([]byte, 1<<20)
		for i := range 400 {
			n.advance(n.now.Add(time.Duration(rnd.IntN(1 << (10 + rnd.IntN(16))))))
			if k := min(m.rcv.edge.sub(m.rcv.nxt), 1+rnd.IntN(60000)); k > 0 {
				n.arrives(n.flow, segment{seq: m.rcv.nxt, ack: m.snd.nxt, flags: ACK, window: 1000, text: piece(0, k, 0), len: k, train: 1460})
			}
			if rnd.IntN(3) > 0 {
				if _, err := m.read(p[:1+rnd.IntN(len(p))]); err != nil {
					t.Fatal(err)
				}
			}
			n.pump()
			for _, s := range n.sent {
				right := s.ack.add(int(s.window) << m.rcv.scale)
				if d := edge.sub(right); d > 1<<m.rcv.scale-1 {
					t.Fatalf("seed %d, step %d: the right edge moves left by %d", seed, i, d)
				}
				edge = later(edge, right)
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
	n := newNode(Config{}, testISS)
	n.open()
	defer n.end()
	m := n.t
	m.setReadBuffer(200_000)
	m.setWriteBuffer(5_000)
	m.snd.wnd = 1 << 20
	m.tuneSend()
	for i := range 10 { // as if a reader had taken much
		m.tuning.since, m.tuning.from = n.now.Add(-time.Hour), m.readNxt().add(-1<<20*i)
		m.tuneReceive(n.now)
	}
	if i := m.info(); i.ReceiveBuffer != 200_000 || i.SendBuffer != 5_000 {
		t.Errorf("receive buffer %d, send buffer %d", i.ReceiveBuffer, i.SendBuffer)
	}
}

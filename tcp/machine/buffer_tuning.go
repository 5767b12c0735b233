package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Buffers that the user has not fixed grow with what the path carries. They
// are bounds and no allocations: a connection that moves little holds little,
// whatever its bounds are. So they never shrink, and the right edge of the
// window never moves left (SHLD-14).

// Bounds in bytes that connections begin with, where they are tuned, and the
// most that a path gets which is too short to be told.
const (
	firstReceiveBuffer = 128 << 10
	firstSendBuffer    = 512 << 10
	shortSendBuffer    = 2 << 20
)

// minTunedRTT is the shortest round trip that is told apart: below it the
// scheduling of processes is what one sees, and not the network.
const minTunedRTT = 200 * time.Microsecond

// receiveTuning is dynamic right-sizing (Fisk and Feng, 2001): the buffer
// follows what the reader takes in a round trip, with room for a sender that
// doubles its window in each.
type receiveTuning struct {
	rtt time.Duration // as the receiver sees it; 0 for not yet

	turnAt  time.Time // when the window was given whose end is turnEnd
	turnEnd segment.Seq

	since time.Time   // when the present round trip began,
	from  segment.Seq // the next byte to be read then,
	taken int         // and how many bytes were read in the one before
}

// turned takes a measurement: the time from when a window was given until all
// of it has come is a round trip, or more where the sender has used less. The
// least counts: a larger window fills the queues on the way, and takes longer,
// which is no reason to make it larger still. Nxt is RCV.NXT, and edge the
// right edge of the window.
func (r *receiveTuning) turned(now time.Time, nxt, edge segment.Seq) {
	if !r.turnAt.IsZero() && nxt.Before(r.turnEnd) {
		return
	}
	if d := now.Sub(r.turnAt); !r.turnAt.IsZero() && (r.rtt == 0 || d < r.rtt) {
		r.rtt = max(d, 1)
	}
	r.turnAt, r.turnEnd = now, edge
}

// demand is how large a buffer the reader deserves, when a round trip is over,
// and 0 before. Next is the next byte to be read. Of the last two round trips
// the smaller counts, so that no single burst does; a sender that doubles its
// window in each has then sent twice that in this one, and sends four times
// that in the next.
func (r *receiveTuning) demand(now time.Time, next segment.Seq) int {
	rtt, elapsed := max(r.rtt, minTunedRTT), now.Sub(r.since)
	taken := 0
	switch {
	case r.since.IsZero():
	case elapsed < rtt:
		return 0
	default: // what a pause has heaped up is no sign of a long path
		taken = int(float64(next.Sub(r.from)) * float64(rtt) / float64(elapsed))
	}
	steady := min(taken, r.taken)
	r.since, r.from, r.taken = now, next, taken
	return 4 * steady
}

// tuneReceive grows the receive buffer when the text that has just been queued
// shows that the reader keeps up.
func (t *TCB) tuneReceive(now time.Time) {
	r := &t.tuning
	if t.recvFixed {
		return
	}
	if r.rtt == 0 {
		r.rtt = t.rtt.srtt // of the handshake
	}
	r.turned(now, t.rcv.nxt, t.rcv.edge)
	if want := r.demand(now, t.readNxt()); want > t.recvq.limit {
		t.recvq.limit = max(t.recvq.limit, min(want, t.cfg.MaxReceiveBuffer))
	}
}

// tuneSend grows the send buffer, so that the next window is there in addition
// to what is in flight: twice what congestion control and the peer allow. Over the
// shortest paths they allow much more than a round trip carries; it would only
// wait at the peer, and be out of the caches by the time that it is read.
func (t *TCB) tuneSend() {
	most := t.cfg.MaxSendBuffer
	if t.rtt.min < minTunedRTT {
		most = min(most, shortSendBuffer)
	}
	if want := 2 * min(t.cwnd(), t.snd.wnd); !t.sendFixed && want > t.sendq.limit {
		t.sendq.limit = max(t.sendq.limit, min(want, most))
	}
}

// receiveLimit is the receive buffer that a connection begins with, and
// receiveMost the largest that it may get.
func (c *Config) receiveLimit() int {
	if c.ReceiveBuffer > 0 {
		return c.ReceiveBuffer
	}
	return min(firstReceiveBuffer, c.MaxReceiveBuffer)
}

func (c *Config) receiveMost() int {
	if c.ReceiveBuffer > 0 {
		return c.ReceiveBuffer
	}
	return c.MaxReceiveBuffer
}

// sendLimit is the send buffer that a connection begins with.
func (c *Config) sendLimit() int {
	if c.SendBuffer > 0 {
		return c.SendBuffer
	}
	return min(firstSendBuffer, c.MaxSendBuffer)
}

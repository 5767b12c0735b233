package tcp

import (
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/machine"
)

// A TransmitQueue has the connections for which a transmit edge had no room, each
// once at most. A holder of a token only tries the edge; who waits for it is
// [Transmit], one process an edge.
type TransmitQueue struct {
	edge  edge.Out[*packet.Buffer]
	conns list[*Conn]
	ready chan struct{} // there are some; closed when there are no connections any more
}

// NewTransmitQueue returns the queue of an edge. There must be a [Transmit] for it.
func NewTransmitQueue(edge edge.Out[*packet.Buffer]) *TransmitQueue {
	return &TransmitQueue{edge: edge, ready: make(chan struct{}, 1)}
}

// push adds c, whose token the caller has.
func (q *TransmitQueue) push(c *Conn) {
	if q.conns.push(&c.inTx) {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
}

// offer makes the segment that next wants a packet and puts it on the edge, if
// there is room.
func (q *TransmitQueue) offer(t *machine.TCB) bool {
	if q.edge.Waiting() == q.edge.Capacity() {
		return false // without having made the packet
	}
	b := t.Packet()
	if !q.edge.Try(b) {
		b.Release()
		return false
	}
	return true
}

// Transmit is the process that sends for connections that found their transmit edge
// full. For each it takes the token, commits what is to be sent, puts the token
// back, and then waits for the edge. It returns when Demux has.
//
// Owns: the connections in q as far as sending goes; their state during its turns.
// Reads: q (connections).
// Writes: out, the edge of q (IP datagrams).
// Blocks on: q, and out; and on tokens, which nobody keeps for long.
func Transmit(q *TransmitQueue, out edge.Out[*packet.Buffer]) {
	for range q.ready {
		q.conns.each(func(c *Conn) { c.send(out) })
	}
}

// send sends what c has to say, and waits where it must. Then others have their
// turn.
func (c *Conn) send(out edge.Out[*packet.Buffer]) {
	for n := 0; ; n++ {
		c.take() // it has not ended: that waits for us
		now, t := time.Now(), c.t
		c.takeMail()
		c.announce()
		if n == machine.TrainsAtOnce || t.Over() || !t.Next(now) {
			c.queued = false
			c.put(now) // which may queue it again, behind the others
			return
		}
		b := t.Packet()
		t.Commit(now)
		c.put(now) // it is queued still, so nobody else sends
		out.Send(b)
	}
}

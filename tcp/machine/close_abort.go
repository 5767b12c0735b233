package machine

import (
	"net"
	"time"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Resets of our own accord. A peer takes one only at exactly its RCV.NXT (RFC
// 5961 section 3.2), which we know when nothing is in flight. Otherwise it may
// be anything from SND.UNA, when all was lost or the peer has no room, to
// SND.NXT, when all has arrived. What lies before its RCV.NXT the peer drops
// without a word; what lies in its window it challenges, and its challenge we
// answer by a reset at the right place, as a segment for a connection that does
// not exist (RFC 9293 section 3.10.7.1); what lies beyond its window it drops.
//
// So one reset goes to SND.NXT; and others before it, from left to right, where
// that may be in vain: when it lies beyond the window, when something seems to
// have been lost, and when the stack ends, and nobody will answer a challenge.

// A resetList is where resets are still to be sent.
type resetList struct {
	at [3]segment.Seq
	n  int
}

// resetsFor is where the peer may be; last says that no challenge will be
// answered.
func (t *TCB) resetsFor(last bool) (r resetList) {
	edge := t.snd.una.Add(t.snd.wnd)
	beyond := edge.Before(t.snd.nxt)
	missing := t.board.lost > 0 || t.board.sacked > 0 || t.rtt.backoff > 0
	if t.state.synchronized() && !t.flightEmpty() && (last || beyond || missing) {
		r.add(t.snd.una)
		if beyond && edge.After(t.snd.una) {
			r.add(edge)
		}
	}
	r.add(t.snd.nxt)
	return r
}

func (r *resetList) add(q segment.Seq) {
	r.at[r.n] = q
	r.n++
}

// Abort is ABORT (section 3.10.5): a reset to the peer, and err to whoever
// still asks.
func (t *TCB) Abort(err error) { t.abortBy(t.resetsFor(false), err) }

// Abandon is ABORT by a user who asks for nothing any more. What he has not read
// is given back, even where the connection has failed before.
func (t *TCB) Abandon(err error) {
	t.orphan = true
	t.recvq.clear()
	t.Abort(err)
}

// Depart is abandon when the stack ends. In SYN-SENT the RFC has nothing sent,
// since the peer's SYN,ACK will be reset; here nobody will be left to do that.
//
// Where something is in flight, the peer may have any part of it, and take none of
// these resets: it then answers with a challenge (RFC 5961 section 3.2), for which
// the demultiplexer stays a while (see answerTime).
func (t *TCB) Depart() {
	resets, opening := t.resetsFor(true), t.state == SynSent && !t.flightEmpty()
	t.challengeable = resets.n > 1
	t.orphan = true
	t.recvq.clear()
	t.abortBy(resets, net.ErrClosed)
	if opening {
		t.reset(t.snd.nxt)
	}
}

// AnswerTime is how long challenges of the peer are to be answered after depart: two
// round trips, within bounds; 0 when it has no reason to challenge.
func (t *TCB) AnswerTime() time.Duration {
	if !t.challengeable {
		return 0
	}
	return min(max(2*t.rtt.srtt, 20*time.Millisecond), 500*time.Millisecond)
}

// abortBy ends the connection by resets.
func (t *TCB) abortBy(resets resetList, err error) {
	tell := t.state.synchronized() && t.state != TimeWait || t.state == SynReceived
	t.fail(err)
	if tell {
		t.resets = resets
		t.nextReset()
	}
}

// nextReset makes the next reset of the list the reply.
func (t *TCB) nextReset() {
	if t.resets.n == 0 {
		return
	}
	t.reply = segment.Segment{Seq: t.resets.at[0], Ack: t.rcv.nxt, Flags: segment.RST | segment.ACK}
	t.replies = true
	copy(t.resets.at[:], t.resets.at[1:])
	t.resets.n--
}

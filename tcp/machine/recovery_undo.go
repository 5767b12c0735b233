package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// undo finds out that a reduction of the window was a mistake, since what was
// taken for lost had only been late.
//
//   - By the timestamp: the acknowledgement echoes that of the original
//     transmission (the Eifel detection algorithm, RFC 3522 section 3.2).
//   - By DSACK: the peer has received all that we sent again twice (RFC 3708
//     section 3, but with bytes counted instead of segments marked).
//   - By F-RTO (recovery_frto.go).
//   - By the original's coming before anything was sent again.
type undo struct {
	armed  bool
	una    segment.Seq // SND.UNA when the reduction came
	ended  bool
	until  segment.Seq // when ended: once it is acknowledged, no more DSACKs are to come
	resent int         // bytes sent again since, of which no DSACK has told

	repaired bool        // a timeout was being repaired when the reduction came,
	recover  segment.Seq // up to here

	stamped  bool
	stamp    uint32 // the timestamp of the first retransmission
	sent     bool   // there has been one,
	answered bool   // and an acknowledgement has moved SND.UNA since
}

func (u *undo) begin(una segment.Seq) { *u = undo{armed: true, una: una} }

// resend notes a retransmission of n bytes, with the timestamp of s.
func (u *undo) resend(s *segment.Segment, n int) {
	if !u.armed {
		return
	}
	u.resent += n
	if !u.sent {
		u.sent = true
		u.stamped, u.stamp = s.Opts.HasTimestamps, s.Opts.TSVal
	}
}

// dsack notes that the peer has received the block b twice.
func (u *undo) dsack(b segment.Block) {
	if u.armed && u.sent && !b.Left.Before(u.una) {
		u.resent -= b.Right.Sub(b.Left)
	}
}

// end notes that all is acknowledged that was in flight when the reduction
// came. DSACKs may still follow for a round trip.
func (u *undo) end(nxt segment.Seq) { u.ended, u.until = true, nxt }

// expire forgets the reduction when una is beyond that round trip.
func (u *undo) expire(una segment.Seq) {
	if u.ended && una.After(u.until) {
		u.armed = false
	}
}

// spurious says whether the acknowledgement s, which has moved SND.UNA when
// moved is true, shows that nothing was lost.
func (t *TCB) spurious(s *segment.Segment, moved bool) bool {
	u := &t.undo
	if !u.armed {
		return false
	}
	if !u.sent {
		return t.board.lost == 0
	}
	first := moved && !u.answered
	u.answered = u.answered || moved
	if first && t.allLostOnTheWayBack() {
		u.armed = false
		return false
	}
	return first && t.echoesOriginal(s) || u.resent <= 0
}

// allLostOnTheWayBack says whether the first word after a timeout is that its
// segment had arrived before. The acknowledgements of a whole window were lost
// then, and that is congestion too (RFC 3708 section 3 (A.1)).
func (t *TCB) allLostOnTheWayBack() bool {
	return t.phase == repairing && t.dsack.seen && t.dsack.block.Left == t.undo.una
}

// echoesOriginal says whether s answers the original of what was sent again
// (RFC 3522 section 3.2 (4)). A peer to whom the retransmission was a duplicate
// echoes an older timestamp as well, and if it acknowledges all that is out,
// this may be so; unless it is known to report duplicates, and reports none (5).
func (t *TCB) echoesOriginal(s *segment.Segment) bool {
	u := &t.undo
	older := u.stamped && s.Opts.HasTimestamps && s.Opts.TSEcr != 0 && int32(s.Opts.TSEcr-u.stamp) < 0
	return older && !t.dsack.seen && (t.tellsDuplicates || !t.flightEmpty())
}

// takeBack restores what the mistake has changed (the Eifel response
// algorithm, RFC 4015 section 3).
func (t *TCB) takeBack(now time.Time, in *recoverInput) {
	t.stats.SpuriousRecoveries.Add(1)
	t.count.spurious++
	if !in.echo { // or else there is congestion (section 3.4)
		t.cc.Undo(now)
	}
	if t.phase == repairing { // step (11): the timer has been too hasty
		t.rtt.lengthen()
	}
	t.board.unmarkLost()
	t.mustResend = false
	t.undo.armed = false
	t.phase = steady
	if t.undo.repaired && t.snd.una.Before(t.undo.recover) {
		t.phase, t.recover = repairing, t.undo.recover // an earlier timeout was none the less right
	}
	t.frto.stage = frtoOff
}

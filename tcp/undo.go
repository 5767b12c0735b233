package tcp

import "time"

// undo finds out that a reduction of the window was a mistake, since what was
// taken for lost had only been late.
//
//   - By the timestamp: the acknowledgement echoes that of the original
//     transmission (the Eifel detection algorithm, RFC 3522 section 3.2).
//   - By DSACK: the peer has received all that we sent again twice (RFC 3708
//     section 2, RFC 2883 section 4).
//   - By F-RTO (frto.go).
//   - By the original's coming before anything was sent again.
type undo struct {
	armed  bool
	una    seq // SND.UNA when the reduction came
	ended  bool
	until  seq // when ended: once it is acknowledged, no more DSACKs are to come
	resent int // bytes sent again since, of which no DSACK has told

	repaired bool // a timeout was being repaired when the reduction came,
	recover  seq  // up to here

	stamped bool
	stamp   uint32 // the timestamp of the first retransmission
	sent    bool   // there has been one
}

func (u *undo) begin(una seq) { *u = undo{armed: true, una: una} }

// resend notes a retransmission of n bytes, with the timestamp of s.
func (u *undo) resend(s *segment, n int) {
	if !u.armed {
		return
	}
	u.resent += n
	if !u.sent {
		u.sent = true
		u.stamped, u.stamp = s.opts.hasTimestamps, s.opts.tsVal
	}
}

// dsack notes that the peer has received the block b twice.
func (u *undo) dsack(b block) {
	if u.armed && u.sent && !b.left.before(u.una) {
		u.resent -= b.right.sub(b.left)
	}
}

// end notes that all is acknowledged that was in flight when the reduction
// came. DSACKs may still follow for a round trip.
func (u *undo) end(nxt seq) { u.ended, u.until = true, nxt }

// expire forgets the reduction when una is beyond that round trip.
func (u *undo) expire(una seq) {
	if u.ended && una.after(u.until) {
		u.armed = false
	}
}

// spurious says whether the acknowledgement s, the first that moves SND.UNA
// when moved is true, shows that nothing was lost. So many bytes are still
// deemed lost.
func (u *undo) spurious(s *segment, moved bool, lost int) bool {
	if !u.armed {
		return false
	}
	if !u.sent {
		return lost == 0
	}
	if moved && u.stamped { // RFC 3522 section 3.2 step 5
		u.stamped = false
		if s.opts.hasTimestamps && s.opts.tsEcr != 0 && int32(s.opts.tsEcr-u.stamp) < 0 {
			return true
		}
	}
	return u.resent <= 0
}

// takeBack restores what the mistake has changed (the Eifel response
// algorithm, RFC 4015 section 3).
func (t *tcb) takeBack(now time.Time) {
	t.stats.SpuriousRecoveries.Add(1)
	t.count.spurious++
	t.cc.Undo(now)
	if t.phase == repairing { // step (11): the timer has been too hasty
		t.rtt.lengthen()
	}
	t.board.unmarkLost()
	t.mustResend = false
	t.undo.armed = false
	t.phase = steady
	if t.undo.repaired && t.snd.una.before(t.undo.recover) {
		t.phase, t.recover = repairing, t.undo.recover // an earlier timeout was none the less right
	}
	t.frto.stage = frtoOff
}

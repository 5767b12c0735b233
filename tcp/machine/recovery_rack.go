package machine

import (
	"math"
	"time"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// rack finds losses by time (RFC 8985 section 6): what was sent before
// something that has arrived since should have arrived too, but for some
// reordering.
type rack struct {
	at  time.Time   // RACK.xmit_ts: when the newest flight was sent of all that have arrived
	end segment.Seq // RACK.end_seq: and where it ends

	round   segment.Seq // RACK.dsack_round: mult grows once in a round trip; it ends when round is acknowledged
	inRound bool

	timer time.Time // when the next flight is lost unless it arrives
}

// reordering is what the connection remembers of it when nothing is in flight.
type reordering struct {
	rtt     time.Duration // RACK.rtt: how long the flight at rack.at took
	seen    bool          // RACK.reordering_seen
	mult    uint8         // RACK.reo_wnd_mult: how many quarters of the least RTT reordering may take
	persist uint8         // RACK.reo_wnd_persist: recoveries until mult is 1 again
}

// reoWndPersist is how many recoveries without a DSACK a wider reordering
// window lasts (RFC 8985 section 6.2 step 4).
const reoWndPersist = 16

func (r *rack) name() string { return "rack" }

func (r *rack) deadline() time.Time { return r.timer }

func (r *rack) stop() { r.timer = time.Time{} }

// expire is RACK_detect_loss when the reordering timer has run out (section
// 6.2 step 5).
func (r *rack) expire(t *TCB, now time.Time) { r.markLost(t, now) }

// detect is section 6.2.
func (r *rack) detect(t *TCB, now time.Time, in *recoverInput) {
	n := &t.board.news
	if f := &n.newest; f.len() > 0 { // step 2
		t.reordering.rtt = now.Sub(f.at)
		if f.sentAfter(r.at, r.end) {
			r.at, r.end = f.at, f.end
		}
	}
	t.reordering.seen = t.reordering.seen || n.reordered // step 3
	r.updateWindow(t, in)
	if !in.spurious && (n.delivered > 0 || !r.timer.IsZero()) {
		r.markLost(t, now)
	}
}

// updateWindow is the part of step 4 with a memory: the window widens with
// each round trip in which a DSACK says that a retransmission was not needed,
// and narrows again after some recoveries without.
func (r *rack) updateWindow(t *TCB, in *recoverInput) {
	if r.inRound && !t.snd.una.Before(r.round) {
		r.inRound = false
	}
	if t.dsack.seen && !r.inRound {
		r.round, r.inRound = t.snd.nxt, true
		t.reordering.widen()
	}
	if in.ended {
		t.reordering.narrow()
	}
}

// widen lets reordering take longer by a quarter of the least RTT.
func (r *reordering) widen() {
	if r.mult < math.MaxUint8 {
		r.mult++
	}
	r.persist = reoWndPersist
}

// narrow counts a recovery without a DSACK.
func (r *reordering) narrow() {
	if r.persist > 0 {
		r.persist--
	}
	if r.persist == 0 {
		r.mult = 1
	}
}

// reoWnd is RACK_update_reo_wnd.
func (r *rack) reoWnd(t *TCB) time.Duration {
	if !t.reordering.seen && (t.phase != steady || t.board.sacked >= dupThresh*t.snd.mss) {
		return 0 // as by RFC 6675: three segments arrived beyond, and none was ever late
	}
	return min(time.Duration(t.reordering.mult)*t.rtt.min/4, t.rtt.srtt)
}

// markLost is step 5, RACK_detect_loss. Flights that went out once are in the
// order in which they did: those behind one that is not due are not due either.
func (r *rack) markLost(t *TCB, now time.Time) {
	r.timer = time.Time{}
	if r.at.IsZero() {
		return
	}
	wait := t.reordering.rtt + r.reoWnd(t)
	for i := range t.board.flights.Len() {
		f := t.board.flights.At(i)
		if f.sacked || f.lost && !f.resent {
			continue
		}
		due := !f.at.Add(wait).After(now)
		switch {
		case r.sentAfter(f) && f.everResent:
		case r.sentAfter(f):
			return // what follows was sent later still
		case due:
			t.board.markLost(i)
		case f.everResent:
			r.timer = latest(r.timer, f.at.Add(wait))
		default:
			r.timer = latest(r.timer, r.lastBefore(t, f).at.Add(wait))
			return
		}
	}
}

// sentAfter says whether f was sent after the newest flight that has arrived.
func (r *rack) sentAfter(f *flight) bool {
	return !(&flight{at: r.at, end: r.end}).sentAfter(f.at, f.end)
}

// lastBefore is the last flight in front of r.end that may still be lost, f being
// one: for it the timer is set.
func (r *rack) lastBefore(t *TCB, f *flight) *flight {
	i := t.board.find(r.end - 1)
	for ; i > 0 && i < t.board.flights.Len() && t.board.flights.At(i).sacked; i-- { // once: runs are joined
	}
	if i < t.board.flights.Len() {
		if last := t.board.flights.At(i); last.at.After(f.at) && !last.sacked && !last.lost && !last.everResent && !r.sentAfter(last) {
			return last
		}
	}
	return f
}

// timedOut is RACK_mark_losses_on_RTO (section 6.3): what was sent only just
// now is not lost. The first segment is marked already.
func (r *rack) timedOut(t *TCB, now time.Time) {
	r.timer = time.Time{}
	wait := t.reordering.rtt + r.reoWnd(t)
	for i := range t.board.flights.Len() {
		if f := t.board.flights.At(i); !f.at.Add(wait).After(now) {
			t.board.markLost(i)
		}
	}
}

package tcp

import "time"

// dupThresh is how many signs of a later arrival make a loss (RFC 5681
// section 3.2, RFC 6675 section 2).
const dupThresh = 3

// recoverInput is what one acknowledgement has told.
type recoverInput struct {
	acked        int  // bytes newly acknowledged, cumulatively
	flightBefore int  // bytes in flight before it
	sacked       int  // bytes newly known from SACK
	duplicate    bool // it is a duplicate acknowledgement
}

// recoverLoss is loss recovery: by the scoreboard where the peer sends SACK
// (RFC 6675), by NewReno where it does not (RFC 6582).
func (t *tcb) recoverLoss(now time.Time, in recoverInput) {
	if in.acked > 0 {
		t.dupACKs = 0
	}
	if in.duplicate {
		if t.dupACKs == 0 {
			t.dupFlight = in.flightBefore
		}
		t.dupACKs++
	}
	if t.recovering {
		t.goOnRecovering(now, in)
		return
	}
	// Slow start goes on after a timeout, while what was lost is sent again.
	if in.acked > 0 {
		t.cc.acked(now, in.acked, 2*in.flightBefore > t.cc.window())
	}
	if t.lossFound() {
		t.enterRecovery(now)
	}
}

// lossFound says whether something newly counts as lost.
func (t *tcb) lossFound() bool {
	if t.sackOK {
		found := t.board.sacked > 0 && t.board.markLostBehind(t.snd.mss)
		// RFC 6675 section 5 (1): three duplicates speak for the first segment.
		if !found && t.dupACKs >= dupThresh && !t.afterTimeout() {
			t.board.markFirstLost(t.snd.mss)
			found = true
		}
		return found && !t.afterTimeout()
	}
	// RFC 6582 section 3.2 step 2: not for duplicates that our own
	// retransmissions have caused.
	if t.dupACKs == dupThresh && t.snd.una.after(t.recover) {
		t.board.markFirstLost(t.snd.mss)
		return true
	}
	return false
}

// afterTimeout says whether what was in flight at the last timeout is still
// being repaired: then new losses in it start no recovery of their own.
func (t *tcb) afterTimeout() bool { return t.snd.una.before(t.recover) }

// enterRecovery is RFC 6675 section 5 (4), RFC 6582 section 3.2 step 2.
func (t *tcb) enterRecovery(now time.Time) {
	t.stats.FastRecoveries.Add(1)
	flight := t.board.total // FlightSize: all that is not acknowledged, cumulatively
	if t.dupACKs > 0 {
		// RFC 5681 section 3.2 (2): without what the first duplicates let out.
		flight = min(flight, t.dupFlight)
	}
	t.cc.lost(now, flight)
	t.recovering = true
	t.recover = t.snd.nxt
	t.mustResend = true // (4.3): the first retransmission does not wait for the pipe
}

// goOnRecovering handles an acknowledgement during fast recovery.
func (t *tcb) goOnRecovering(now time.Time, in recoverInput) {
	if in.acked > 0 && !t.snd.una.before(t.recover) { // a full acknowledgement
		t.recovering = false
		t.cc.recovered(now)
		return
	}
	switch {
	case t.sackOK:
		t.board.markLostBehind(t.snd.mss)
		if in.acked > 0 && t.board.sacked > 0 {
			t.markHeadLost()
		}
	case in.acked > 0: // a partial acknowledgement: the next hole is lost too
		t.board.markFirstLost(t.snd.mss)
		t.mustResend = true
	}
}

// markHeadLost marks the first segment lost when a cumulative acknowledgement
// has stopped there while later text has arrived; not when it was sent again
// already.
func (t *tcb) markHeadLost() {
	if f := t.board.flights.At(0); !f.sacked && !f.lost {
		t.board.markFirstLost(t.snd.mss)
	}
}

// pipe is how much is thought to be in the network (RFC 6675 section 4). With
// no SACK each duplicate acknowledgement stands for a segment that has left
// it, which is what NewReno's inflation of cwnd amounts to.
func (t *tcb) pipe() int {
	p := t.board.pipe()
	if !t.sackOK {
		p -= t.dupACKs * t.snd.mss
	}
	return max(0, p)
}

// retransmissionTimedOut is RFC 6298 (5.4) to (5.6) and RFC 5681 section 3.1.
func (t *tcb) retransmissionTimedOut(now time.Time) {
	again := !t.failingSince.IsZero()
	if !again {
		t.failingSince = now
	}
	t.rtt.backoff++
	t.mustResend = true
	if t.snd.wnd == 0 && t.state.synchronized() {
		// The peer has closed its window over what is in flight: this is a
		// probe, and no sign of congestion.
		t.stats.WindowProbes.Add(1)
		t.board.markFirstLost(t.snd.mss)
		return
	}
	t.stats.Timeouts.Add(1)
	t.cc.timedOut(now, t.board.total, again)
	if t.board.flights.At(0).sacked { // the peer has gone back on its word (RFC 2018 section 8)
		t.board.forgetSACKs()
	}
	t.board.markAllLost()
	t.recovering = false
	t.dupACKs = 0
	t.recover = t.snd.nxt
}

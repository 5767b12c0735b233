package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A phase is where loss recovery stands.
type phase uint8

const (
	steady     phase = iota // nothing is known to be lost
	recovering              // fast recovery, until recover is acknowledged
	repairing               // a retransmission timeout is being repaired, until recover is acknowledged
)

// A detector finds what is lost from the acknowledgements that arrive. It
// marks it on the scoreboard; what follows from a loss is the same for all.
//
//	rack     RFC 8985   by time                      recovery_rack.go
//	sack     RFC 6675   by what was SACKed beyond    recovery_sack.go
//	newreno  RFC 6582   by duplicates, without SACK  recovery_newreno.go
type detector interface {
	name() string

	// detect marks what an acknowledgement shows to be lost; nothing, when it
	// shows that the last losses were none.
	detect(t *TCB, now time.Time, in *recoverInput)

	// timedOut marks what counts as lost after a retransmission timeout.
	timedOut(t *TCB, now time.Time)

	// deadline is when expire, which marks what is lost by then, has
	// something to do; zero for never.
	deadline() time.Time
	expire(t *TCB, now time.Time)

	// stop stops that timer.
	stop()
}

// recoverInput is what one acknowledgement has told.
type recoverInput struct {
	acked     int  // bytes by which SND.UNA has moved
	flight    int  // FlightSize before it
	pipe      int  // and pipe
	duplicate bool // it is a duplicate acknowledgement
	spurious  bool // it shows that the last retransmissions were not needed
	ended     bool // recovery of either kind has ended by it,
	left      bool // and it was fast recovery
	echo      bool // it tells of congestion, by ECE
}

// recovery is the state of loss recovery.
type recovery struct {
	phase      phase
	recover    segment.Seq
	dupACKs    int
	dupFlight  int  // FlightSize at the first of them
	mustResend bool // the next retransmission does not ask for cwnd
	prr        prr
	undo       undo
	frto       frto
	probe      lossProbe
	load       load
}

// load is what was in the network when the last segment had gone out.
// Acknowledgements are taken in bursts (MUST-59), and what they have freed by
// the time that one of them shows a loss was in use all the same.
type load struct {
	pipe   int
	flight int // FlightSize; 0 when it was not sent in the steady phase, or since the first duplicate
}

// loaded notes that a segment has gone out.
func (t *TCB) loaded() {
	t.load.pipe = t.pipe()
	if t.phase == steady && t.dupACKs == 0 {
		t.load.flight = t.board.total
	}
}

// recoverLoss finds what is lost, and does what follows.
func (t *TCB) recoverLoss(now time.Time, in *recoverInput) {
	delivered := t.countDuplicate(in)
	t.lossProbeAcknowledged(now, in)
	t.undo.expire(t.snd.una)
	if in.spurious = in.spurious || t.frtoSpurious(in); in.spurious {
		t.takeBack(now, in)
	}
	t.leaveRecovery(now, in)
	losses := t.board.losses
	t.detector.detect(t, now, in)
	t.lossesFound(now, losses)
	if in.ended && t.phase == steady && t.board.lost > 0 {
		t.enterRecovery(now, t.board.lost) // what was sent since the recovery began has losses of its own
	}
	if t.phase == recovering {
		t.prr.target = t.cc.Window() // BBR's moves during recovery too
		t.prr.acknowledged(delivered, t.pipe(), t.snd.mss, in.acked > 0 && t.board.losses == losses)
	}
}

// lossesFound begins fast recovery if something has been lost since the sum of
// all losses was before.
func (t *TCB) lossesFound(now time.Time, before uint64) {
	if lost := int(t.board.losses - before); lost > 0 && t.phase == steady && !t.onlyProbeLost(now, before) {
		t.enterRecovery(now, lost)
	}
}

// countDuplicate counts duplicate acknowledgements, and returns how many bytes
// have arrived. Without SACK each duplicate stands for a segment, which the
// next acknowledgement that moves SND.UNA then counts once more (RFC 9937
// section 6.2).
func (t *TCB) countDuplicate(in *recoverInput) (delivered int) {
	switch {
	case in.duplicate:
		if t.dupACKs == 0 {
			t.dupFlight = in.flight
		}
		t.dupACKs++
		delivered = t.snd.mss
	case in.acked > 0 && (t.phase != recovering || t.sackOK):
		t.dupACKs = 0
		delivered = in.acked
	case in.acked > 0: // all but the hole has caused a duplicate
		known := min(t.dupACKs, (in.acked-1)/t.snd.mss)
		t.dupACKs -= known
		delivered = in.acked - known*t.snd.mss
	}
	switch {
	case t.sackOK:
		return t.board.news.delivered
	case t.phase == recovering: // more duplicates than that come of no segments of ours
		delivered = min(delivered, max(0, t.prr.flight-t.prr.delivered))
	}
	return delivered
}

// enterRecovery begins fast recovery (RFC 6675 section 5 (4), RFC 6582
// section 3.2 step 2, RFC 9937 section 6.1).
func (t *TCB) enterRecovery(now time.Time, lost int) {
	t.stats.FastRecoveries.Add(1)
	t.count.recoveries++
	flight := t.board.total // FlightSize: all that is not acknowledged, cumulatively
	if t.dupACKs > 0 {
		// RFC 5681 section 3.2 (2): without what the first duplicates let out.
		flight = min(flight, t.dupFlight)
	}
	flight = max(flight, t.load.flight)
	t.load.flight = 0
	t.undo.begin(t.snd.una)
	t.cc.Lost(congestion.Loss{Now: now, Flight: flight, Lost: lost})
	t.phase = recovering
	t.recover = t.snd.nxt
	t.windowReduced()
	t.mustResend = true // (4.3): the first retransmission does not wait for the pipe
	t.prr.begin(t.cc.Window(), t.board.total-t.board.sacked+t.board.news.delivered)
}

// leaveRecovery ends fast recovery or the repair after a timeout when all is
// acknowledged that was in flight at its beginning.
func (t *TCB) leaveRecovery(now time.Time, in *recoverInput) {
	if t.phase == steady || in.acked == 0 || t.snd.una.Before(t.recover) {
		return
	}
	in.ended, in.left = true, t.phase == recovering
	t.phase = steady
	t.dupACKs = 0
	t.frto.stage = frtoOff
	t.undo.end(t.snd.nxt)
	t.cc.Recovered(now)
}

// expireDetector lets the detector mark what is lost by now.
func (t *TCB) expireDetector(now time.Time) {
	t.board.news = news{}
	losses := t.board.losses
	t.detector.expire(t, now)
	t.lossesFound(now, losses)
	if t.phase == recovering && t.board.losses != losses {
		t.prr.acknowledged(0, t.pipe(), t.snd.mss, false)
	}
}

// pipe is how much is thought to be in the network (RFC 6675 section 4). With
// no SACK each duplicate acknowledgement stands for a segment that has left
// it, which is what NewReno's inflation of cwnd amounts to.
func (t *TCB) pipe() int {
	p := t.board.pipe()
	if !t.sackOK {
		left := t.dupACKs * t.snd.mss
		if t.phase == recovering {
			left = min(left, t.prr.flight) // RFC 9937 section 6.2
		}
		p -= left
	}
	return max(0, p)
}

// cwnd is how much may be in the network.
func (t *TCB) cwnd() int {
	if t.phase == recovering {
		return t.prr.cwnd
	}
	return t.cc.Window()
}

// retransmissionTimedOut is RFC 6298 (5.4) to (5.6) and RFC 5681 section 3.1.
func (t *TCB) retransmissionTimedOut(now time.Time) {
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
	t.count.timeouts++
	if !again {
		t.undo.begin(t.snd.una)
		t.undo.repaired, t.undo.recover = t.phase == repairing, t.recover
	}
	flight := t.board.total
	t.pathTimedOut(now)
	t.load.flight = 0
	if t.board.flights.At(0).sacked { // the peer has gone back on its word (RFC 2018 section 8)
		t.board.forgetSACKs()
	}
	t.board.markFirstLost(t.snd.mss)
	t.detector.timedOut(t, now)
	t.cc.TimedOut(congestion.Loss{Now: now, Flight: flight, Lost: t.board.lost - t.board.resent, Again: again})
	t.windowReduced()
	t.frto.begin(t.mayFRTO() && !again && t.state.synchronized())
	t.phase = repairing
	t.probe.end()
	t.dupACKs = 0
	t.recover = t.snd.nxt
}

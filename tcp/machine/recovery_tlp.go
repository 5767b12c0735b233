package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A lossProbe asks whether the end of what was sent is lost (the tail loss
// probe of RFC 8985 section 7): long before the retransmission timeout one
// segment goes out, whose acknowledgement shows it.
type lossProbe struct {
	at     time.Time   // the probe timeout; zero when it does not run
	due    bool        // it has run out, and the probe is to be sent
	out    bool        // the probe is on its way,
	again  bool        // and repeats what had been sent before (TLP.is_retrans)
	endSeq segment.Seq // TLP.end_seq: SND.NXT when it was sent
	flight int         // and FlightSize then, of which something may be lost
}

// end forgets a probe.
func (p *lossProbe) end() { *p = lossProbe{} }

// maxAckDelay is what the acknowledgement of a single segment may take longer
// (TLP.max_ack_delay of RFC 8985 section 7.2).
const maxAckDelay = 200 * time.Millisecond

// scheduleLossProbe is section 7.2, after something was sent or acknowledged.
// Between two probes a round trip must have been measured (section 7.3), or
// they would keep a path that has become longer from being noticed.
func (t *TCB) scheduleLossProbe(now time.Time) {
	p := &t.probe
	p.at, p.due = time.Time{}, false
	if _, ok := t.detector.(*rack); !ok || p.out || t.rtt.probed || t.phase != steady || t.snd.wnd == 0 ||
		t.board.flights.Len() == 0 || t.board.sacked > 0 || t.board.lost > 0 || !t.state.synchronized() {
		return
	}
	pto := time.Second
	if t.rtt.srtt > 0 {
		pto = 2*t.rtt.srtt + minGrain
		if t.board.total <= t.snd.mss {
			pto += maxAckDelay
		}
	}
	p.at = now.Add(pto)
	if !t.rtoAt.IsZero() && t.rtoAt.Before(p.at) {
		p.at = t.rtoAt
	}
}

// expireLossProbe is section 7.3: the probe is to be sent, and the
// retransmission timer begins anew.
func (t *TCB) expireLossProbe(now time.Time) {
	t.probe.at = time.Time{}
	if t.snd.wnd > 0 && !t.board.full() {
		t.probe.due = true
		t.rtoAt = now.Add(t.rtt.rto())
	}
}

// lossProbeSegment makes s the probe: the next new segment or, when there is
// none, the last one again (section 7.3). It may exceed cwnd by this segment.
func (t *TCB) lossProbeSegment(now time.Time, s *segment.Segment) bool {
	if !t.probe.due || t.board.flights.Len() == 0 {
		return false
	}
	if t.canSendNew() {
		wnd := t.snd.una.Add(t.snd.wnd).Sub(t.snd.nxt)
		n := min(t.snd.mss, t.sendq.end().Sub(t.snd.nxt), wnd)
		t.makeSegment(now, s, t.snd.nxt, n)
		t.markable(s)
		if t.finQueued && t.snd.nxt.Add(n) == t.sendq.end() && n < wnd {
			s.Flags |= segment.FIN
		}
		return true
	}
	f := t.board.flights.At(t.board.flights.Len() - 1)
	fin := f.end.After(t.sendq.end())
	end := f.end
	if fin {
		end--
	}
	n := min(t.snd.mss, end.Sub(f.start))
	t.makeSegment(now, s, end.Add(-n), n)
	if fin {
		s.Flags |= segment.FIN
	}
	return true
}

// lossProbeSent notes that the probe is on its way.
func (t *TCB) lossProbeSent(again bool) {
	t.stats.LossProbes.Add(1)
	t.rtt.probed = true
	t.probe = lossProbe{out: true, again: again, endSeq: t.snd.nxt, flight: t.board.total}
}

// lossProbeAcknowledged is section 7.4.2: when the probe has repaired a loss that nobody
// noticed, congestion control hears of it all the same.
func (t *TCB) lossProbeAcknowledged(now time.Time, in *recoverInput) {
	p := &t.probe
	if !p.out || t.snd.una.Before(p.endSeq) {
		return
	}
	switch {
	case !p.again: // all new: it was no retransmission
	case t.dsack.seen && t.dsack.block.Right == p.endSeq: // both have arrived
	case t.snd.una.After(p.endSeq):
		t.stats.LossProbeRepairs.Add(1)
		t.cc.Lost(congestion.Loss{Now: now, Flight: p.flight, Lost: t.snd.mss})
		t.windowReduced()
		t.cc.Recovered(now)
	case in.acked == 0 && t.board.news.sacked == 0: // a duplicate of the original's: both have arrived
	default:
		return // it may be the original's acknowledgement; a second one will tell
	}
	p.end()
}

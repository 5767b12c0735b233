package machine

import "time"

// dupThresh is how many signs of a later arrival make a loss (RFC 5681
// section 3.2, RFC 6675 section 2).
const dupThresh = 3

// bySACK finds losses by what the peer has SACKed beyond (RFC 6675).
type bySACK struct{ rescued bool }

func (d *bySACK) name() string { return "sack" }

func (d *bySACK) deadline() time.Time { return time.Time{} }

func (d *bySACK) stop() {}

func (d *bySACK) expire(*TCB, time.Time) {}

func (d *bySACK) timedOut(t *TCB, _ time.Time) { t.board.markAllLost() }

func (d *bySACK) detect(t *TCB, _ time.Time, in *recoverInput) {
	if in.spurious {
		return
	}
	if t.board.sacked > 0 {
		t.board.markLostBehind(t.snd.mss)
	}
	switch t.phase {
	case steady:
		d.rescued = false
		// Section 5 (1): three duplicates speak for the first segment.
		if t.dupACKs >= dupThresh && t.board.lost == 0 {
			t.board.markFirstLost(t.snd.mss)
		}
	case recovering:
		if in.acked > 0 && t.board.sacked > 0 {
			t.markHeadLost()
		}
		d.rescue(t)
	}
}

// rescue is rule (4) of NextSeg in section 4: when nothing more can be sent,
// and the end of what is in flight has not been heard of, its last segment
// goes again, once a recovery. Its acknowledgement shows what else is missing.
func (d *bySACK) rescue(t *TCB) {
	last := t.board.flights.Len() - 1
	if d.rescued || last < 0 || t.sendq.end().After(t.snd.nxt) || t.board.lost > t.board.resent {
		return
	}
	if f := t.board.flights.At(last); f.sacked || f.lost {
		return
	}
	d.rescued = true
	t.board.markLastLost(t.snd.mss)
}

// markHeadLost marks the first segment lost when a cumulative acknowledgement
// has stopped there while later text has arrived; not when it was sent again
// already.
func (t *TCB) markHeadLost() {
	if t.board.flights.Len() == 0 {
		return
	}
	if f := t.board.flights.At(0); !f.sacked && !f.lost {
		t.board.markFirstLost(t.snd.mss)
	}
}

// markLostBehind applies IsLost of RFC 6675 section 4: a flight is lost when
// more than (dupThresh-1)*mss bytes, or dupThresh separate runs, beyond it
// have arrived. Only what was never resent counts: of a retransmission these
// signs say nothing.
func (s *scoreboard) markLostBehind(mss int) {
	bytes, runs, inRun := 0, 0, false
	for i := s.flights.Len() - 1; i >= 0; i-- {
		f := s.flights.At(i)
		if f.sacked {
			if !inRun {
				runs++
			}
			inRun = true
			bytes += f.len()
			continue
		}
		inRun = false
		if !f.lost && (bytes > (dupThresh-1)*mss || runs >= dupThresh) {
			s.markLost(i)
		}
	}
}

// markLastLost marks the last n bytes as lost.
func (s *scoreboard) markLastLost(n int) {
	last := s.flights.Len() - 1
	if f := s.flights.At(last); f.len() > n && s.split(last, f.end.Add(-n)) {
		last++
	}
	s.markLost(last)
}

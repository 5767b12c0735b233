package machine

import "time"

// byDuplicates finds losses where the peer does not send SACK (RFC 5681
// section 3.2, RFC 6582).
type byDuplicates struct{}

func (byDuplicates) name() string { return "newreno" }

func (byDuplicates) deadline() time.Time { return time.Time{} }

func (byDuplicates) stop() {}

func (byDuplicates) expire(*TCB, time.Time) {}

func (byDuplicates) timedOut(t *TCB, _ time.Time) { t.board.markAllLost() }

func (byDuplicates) detect(t *TCB, _ time.Time, in *recoverInput) {
	switch t.phase {
	case steady:
		// RFC 6582 section 3.2 step 2: not for duplicates that our own
		// retransmissions have caused.
		if in.duplicate && t.dupACKs == dupThresh && t.snd.una.After(t.recover) {
			t.board.markFirstLost(t.snd.mss)
		}
	case recovering:
		// A partial acknowledgement: the next hole is lost too.
		if in.acked > 0 && t.snd.una.Before(t.recover) {
			t.board.markFirstLost(t.snd.mss)
			t.mustResend = true
		}
	}
}

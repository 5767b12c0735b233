package machine

import "time"

// Acknowledgements that do not wait. A peer whose congestion window is small, as
// it is when a connection begins, and again when it has been idle for a
// retransmission timeout (RFC 5681 section 4.1), can send nothing new until it
// hears of what it has sent: a delay costs it 40 ms a round. So what comes first
// is acknowledged at once, as Linux does, unless our own text is what
// acknowledges: then requests and answers alternate, and a segment of its own
// for each would be wasted.

// maxQuickACKs is how many acknowledgements go at once, then.
const maxQuickACKs = 16

// A quickACK is zero when a connection begins.
type quickACK struct {
	sent     int       // acknowledgements, since the beginning or the last idle time
	answers  bool      // our text follows the peer's closely
	textCame time.Time // when the peer's last did
}

// acknowledgeQuickly has text that has come in order acknowledged at once where
// the peer may wait for it.
func (t *TCB) acknowledgeQuickly(now time.Time) {
	q := &t.quick
	if now.Sub(q.textCame) > t.rtt.rto() {
		q.sent = 0
	}
	q.textCame = now
	if q.sent < maxQuickACKs && !q.answers && !t.cfg.NoQuickACKs {
		t.ackNow = true
	}
}

// answered notes that text of ours goes out for the first time.
func (q *quickACK) answered(now time.Time, delay time.Duration) {
	if now.Sub(q.textCame) < delay {
		q.answers = true
	}
}

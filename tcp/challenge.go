package tcp

import "time"

// A challengeLimit bounds the challenge ACKs of one connection, or of all that
// are half open (RFC 5961 section 7), so that a stray peer and we do not answer each other for ever.
type challengeLimit struct {
	second int64
	sent   int
}

// maxChallenges is how many challenge ACKs go out a second.
const maxChallenges = 10

// allow says whether another challenge ACK may be sent now, and counts it.
func (l *challengeLimit) allow(now time.Time) bool {
	if second := now.Unix(); second != l.second {
		*l = challengeLimit{second: second}
	}
	l.sent++
	return l.sent <= maxChallenges
}

// challenge sends an acknowledgement that makes an honest peer say where it
// stands (RFC 5961 sections 3.2, 4.2 and 5.2).
func (t *tcb) challenge() {
	if !t.challenges.allow(t.lastHeard) {
		t.stats.DropOutOfWindow.Add(1)
		return
	}
	t.stats.ChallengeACKs.Add(1)
	t.ackNow = true
}

package tcp

// A challengeLimit bounds the challenge ACKs of one connection (RFC 5961
// section 7), so that a stray peer and we do not answer each other for ever.
type challengeLimit struct {
	second int64
	sent   int
}

// maxChallenges is how many challenge ACKs a connection sends a second.
const maxChallenges = 10

// challenge sends an acknowledgement that makes an honest peer say where it
// stands (RFC 5961 sections 3.2, 4.2 and 5.2).
func (t *tcb) challenge() {
	if second := t.lastHeard.Unix(); second != t.challenges.second {
		t.challenges = challengeLimit{second: second}
	}
	if t.challenges.sent >= maxChallenges {
		t.stats.DropOutOfWindow.Add(1)
		return
	}
	t.challenges.sent++
	t.stats.ChallengeACKs.Add(1)
	t.ackNow = true
}

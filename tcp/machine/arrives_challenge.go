package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A challengeLimit bounds the challenge ACKs of one connection (RFC 5961 section
// 7), so that a stray peer and we do not answer each other for ever. Each
// connection has its own, a half-open one as well: by one that several share, a
// peer sees whether the forged segments that it sends in the name of others hit
// their windows (CVE-2016-5696).
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
func (t *TCB) challenge(now time.Time) {
	if !t.challenges.allow(now) {
		t.stats.DropOutOfWindow.Add(1)
		return
	}
	t.stats.ChallengeACKs.Add(1)
	t.ackNow = true
}

// invalidInterval is the least time between two acknowledgements that answer
// segments out of the window without text: two ends that each find the other's
// acknowledgements out of the window would else answer each other for ever
// (RFC 5961 section 7). Linux has the same interval.
const invalidInterval = 500 * time.Millisecond

// probeInterval is that for the segments which stand just before the window,
// as probes of a closed window and of life do. It is shorter than the timers
// that send those.
const probeInterval = 100 * time.Millisecond

// answerInvalid acknowledges s, which is not acceptable (RFC 9293 section
// 3.10.7.4). What has text or a FIN is always answered: it comes of a timer or
// of a lost acknowledgement, and no acknowledgement provokes it.
func (t *TCB) answerInvalid(now time.Time, s *segment.Segment) {
	interval := invalidInterval
	if s.Seq == t.rcv.nxt-1 {
		interval = probeInterval
	}
	switch {
	case s.Has(segment.SYN):
		t.challenge(now) // RFC 5961 section 4.2: wherever it lies
	case s.Span() > 0:
		t.ackNow = true
	case now.Sub(t.answeredAt) < interval:
		t.stats.WithheldACKs.Add(1)
	default:
		t.answeredAt = now
		t.ackNow = true
	}
}

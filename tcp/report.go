package tcp

import (
	"encoding/binary"
	"time"

	"github.com/seed-012105e5/gonet/ipv4"
)

// icmpReport takes an ICMP error about a segment of this connection (RFC 9293
// section 3.9.2.2, MUST-54).
func (t *tcb) icmpReport(now time.Time, r ipv4.Report) {
	// RFC 5927 section 4.1: only an error about what is in flight counts.
	q := seq(binary.BigEndian.Uint32(r.Transport[4:]))
	if q.before(t.snd.una) || !q.before(t.snd.nxt) {
		t.stats.IgnoredReports.Add(1)
		return
	}
	switch {
	case r.Type == ipv4.TypeSourceQuench: // MUST-55
	case r.Type == ipv4.TypeUnreachable && r.Code == ipv4.CodeFragmentationNeeded:
		t.packetTooBig(now, r.MTU, q)
	case !t.state.synchronized() && (r.Hard() || r.Type == ipv4.TypeUnreachable && r.From == t.flow.local.addr()):
		// RFC 5927 section 5.1: a hard error ends a connection that is being
		// made; so does our own finding that the first hop does not answer.
		t.fail(r.Err())
	default: // MUST-56; RFC 5927 section 5.2 for the hard errors
		t.softErr = r.Err()
		t.signal.Err = t.softErr
	}
}

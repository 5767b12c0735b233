package tcp

import (
	"encoding/binary"
	"time"

	"github.com/seed-012105e5/gonet/ipv4"
)

// minPMTU is the least path MTU that is believed, as in Linux: less would let
// anyone who can guess make us send tiny segments.
const minPMTU = 552

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
		t.packetTooBig(now, r.MTU)
	case !t.state.synchronized() && (r.Hard() || r.Type == ipv4.TypeUnreachable && r.From == t.flow.local.addr()):
		// RFC 5927 section 5.1: a hard error ends a connection that is being
		// made; so does our own finding that the first hop does not answer.
		t.fail(r.Err())
	default: // MUST-56; RFC 5927 section 5.2 for the hard errors
		t.softErr = r.Err()
		t.signal.Err = t.softErr
	}
}

// packetTooBig is path MTU discovery (RFC 1191): the path takes no more than
// mtu, so what was larger is sent again in smaller segments.
func (t *tcb) packetTooBig(now time.Time, mtu int) {
	if mtu == 0 { // a router from before RFC 1191
		mtu = nextPlateau(t.snd.pmtu)
	}
	mtu = max(mtu, minPMTU)
	if mtu >= t.snd.pmtu || !t.state.synchronized() {
		return
	}
	t.snd.pmtu = mtu
	t.updateMSS()
	t.board.markAllLost()
	t.mustResend = true
	t.rtoAt = now.Add(t.rtt.rto())
}

// plateaus is the table of RFC 1191 section 7.1.
var plateaus = [...]int{32000, 17914, 8166, 4352, 2002, 1492, 1006, 508}

func nextPlateau(mtu int) int {
	for _, p := range plateaus {
		if p < mtu {
			return p
		}
	}
	return minPMTU
}

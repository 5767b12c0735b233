package machine

import (
	"encoding/binary"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// IcmpError takes an ICMP error about a segment of this connection (RFC 9293
// section 3.9.2.2, MUST-54).
func (t *TCB) IcmpError(now time.Time, e ip.ICMPError) {
	// RFC 5927 section 4.1: only an error about what is in flight counts.
	q := segment.Seq(binary.BigEndian.Uint32(e.Transport[4:]))
	if q.Before(t.snd.una) || !q.Before(t.snd.nxt) {
		t.stats.ICMPErrorsIgnored.Add(1)
		return
	}
	switch {
	case e.Type == ip.TypeSourceQuench: // MUST-55
	case e.Type == ip.TypeUnreachable && e.Code == ip.CodeFragmentationNeeded:
		t.packetTooBig(now, e.MTU, q)
	case !t.state.synchronized() && (e.Hard() || e.Type == ip.TypeUnreachable && e.From == t.flow.Local.Addr()):
		// RFC 5927 section 5.1: a hard error ends a connection that is being
		// made; so does our own finding that the first hop does not answer.
		t.fail(e.Err())
	default: // MUST-56; RFC 5927 section 5.2 for the hard errors
		t.softErr = e.Err()
		t.signal.Err = t.softErr
	}
}

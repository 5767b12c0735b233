package machine

import "github.com/seed-012105e5/gonet/tcp/segment"

// Urge makes the next n bytes that the user writes urgent: SND.UP stands behind
// them (MUST-62).
func (t *TCB) Urge(n int) {
	if n == 0 || t.finQueued || !t.state.canSend() {
		return
	}
	t.snd.up, t.snd.urgent = t.sendq.end().Add(n), true
	if !t.snd.una.Add(t.snd.wnd).After(t.snd.nxt) {
		t.ackNow = true // the window is closed: a bare segment brings the pointer
	}
}

// putUrgent writes the urgent pointer of s, an offset of 16 bits: when it is
// further ahead, the largest serves until it is nearer.
func (t *TCB) putUrgent(s *segment.Segment) {
	if t.snd.urgent && t.snd.up.After(s.Seq) {
		s.Flags |= segment.URG
		s.Urgent = uint16(min(t.snd.up.Sub(s.Seq), 0xffff))
	}
}

// urgentAcked forgets the pointer when the peer has all that is before it.
func (t *TCB) urgentAcked() {
	if t.snd.urgent && !t.snd.up.After(t.snd.una) {
		t.snd.urgent = false
	}
}

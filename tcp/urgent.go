package tcp

// urge makes the next n bytes that the user writes urgent: SND.UP stands behind
// them (MUST-62).
func (t *tcb) urge(n int) {
	if n == 0 || t.finQueued || !t.state.canSend() {
		return
	}
	t.snd.up, t.snd.urgent = t.sendq.end().add(n), true
	if !t.snd.una.add(t.snd.wnd).after(t.snd.nxt) {
		t.ackNow = true // the window is closed: a bare segment brings the pointer
	}
}

// putUrgent writes the urgent pointer of s, an offset of 16 bits: when it is
// further ahead, the largest serves until it is nearer.
func (t *tcb) putUrgent(s *segment) {
	if t.snd.urgent && t.snd.up.after(s.seq) {
		s.flags |= URG
		s.urgent = uint16(min(t.snd.up.sub(s.seq), 0xffff))
	}
}

// urgentAcked forgets the pointer when the peer has all that is before it.
func (t *tcb) urgentAcked() {
	if t.snd.urgent && !t.snd.up.after(t.snd.una) {
		t.snd.urgent = false
	}
}

package tcp

// WriteUrgent writes p as Write does, and marks it as urgent: the peer is told
// at once, even while its window is closed, that there is something behind what
// it has read which it should hurry to. Urgent data stays in line (RFC 9293
// section 3.8.5, MUST-30). New protocols should not use it (SHLD-13, RFC 6093).
func (c *Conn) WriteUrgent(p []byte) (int, error) {
	return c.write(p, true)
}

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

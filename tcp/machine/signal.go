package machine

// A Signal is what a connection tells its user without being asked (RFC 9293
// section 3.9.1.8). Several may come as one.
type Signal struct {
	// Urgent: an urgent pointer has come that is ahead of what was read;
	// Info.Urgent says by how much (MUST-32, MUST-33).
	Urgent bool

	// Failing: the peer has not answered three transmissions in a row; the
	// connection goes on until the user timeout (R1 and R2 of section 3.8.3,
	// SHLD-9).
	Failing bool

	// Err is the latest soft error: an ICMP error that does not end the
	// connection (MUST-47, SHLD-25); nil when there is none.
	Err error
}

func (s *Signal) any() bool { return s.Urgent || s.Failing || s.Err != nil }

// Signaled says whether there is something to tell the user.
func (t *TCB) Signaled() bool { return t.signal.any() }

// TakeSignal returns what there is to tell the user, together with s, of which he
// has not heard yet.
func (t *TCB) TakeSignal(s Signal) Signal {
	s.Urgent = s.Urgent || t.signal.Urgent
	s.Failing = s.Failing || t.signal.Failing
	if t.signal.Err != nil {
		s.Err = t.signal.Err
	}
	t.signal = Signal{}
	return s
}

package arrives

// Outcomes are the ways in which s may be treated in state t, the first being
// what the RFCs ask for in the first place; there are others where they say
// MAY, or SHOULD, or contradict each other.
func Outcomes(t TCB, s Segment) []Outcome {
	switch t.State {
	case Closed:
		return closed(s)
	case Listen:
		return listen(s)
	case SynSent:
		return synSent(t, s)
	}
	return synchronized(t, s)
}

func refuse(why string, a Answer) Outcome { return Outcome{Why: why, Answer: a, Refused: true} }

// closed is section 3.10.7.1.
func closed(s Segment) []Outcome {
	switch {
	case s.has(RST):
		return []Outcome{refuse("3.10.7.1: a segment containing a RST is discarded", Silence)}
	case s.has(ACK):
		return []Outcome{refuse("3.10.7.1: ACK on", Reset)}
	}
	return []Outcome{refuse("3.10.7.1: ACK off", ResetAck)}
}

// listen is section 3.10.7.2.
func listen(s Segment) []Outcome {
	switch {
	case s.has(RST):
		return []Outcome{refuse("3.10.7.2, first: RST", Silence)}
	case s.has(ACK):
		return []Outcome{refuse("3.10.7.2, second: ACK", Reset)}
	case s.has(SYN):
		return []Outcome{{Why: "3.10.7.2, third: SYN", Answer: SynAck, State: SynReceived, RcvNxt: s.Seq + 1}}
	}
	return []Outcome{refuse("3.10.7.2, fourth: other text or control", Silence)}
}

// synSent is section 3.10.7.3.
func synSent(t TCB, s Segment) []Outcome {
	acceptable := s.has(ACK) && less(t.SndUna, s.Ack) && atMost(s.Ack, t.SndNxt)
	if s.has(ACK) && (atMost(s.Ack, t.ISS) || less(t.SndNxt, s.Ack)) {
		if s.has(RST) {
			return []Outcome{refuse("3.10.7.3, first: RST with an ACK that is not acceptable", Silence)}
		}
		return []Outcome{refuse("3.10.7.3, first: ACK is not acceptable", Reset)}
	}
	if s.has(RST) {
		if acceptable {
			return []Outcome{{Why: "3.10.7.3, second: RST with an acceptable ACK", State: Closed}}
		}
		return []Outcome{refuse("3.10.7.3, second: RST without ACK", Silence)}
	}
	if !s.has(SYN) {
		return []Outcome{refuse("3.10.7.3, fifth: neither SYN nor RST", Silence)}
	}

	o := Outcome{Why: "3.10.7.3, fourth: SYN", RcvNxt: s.Seq + 1, SndUna: t.SndUna, SndWnd: s.Wnd, TSRecent: s.TSVal}
	if !acceptable {
		o.State, o.Answer = SynReceived, SynAck
		return []Outcome{o}
	}
	o.State, o.Answer, o.SndUna = Established, Acknowledge, s.Ack
	// "If there are other controls or text in the segment, then continue
	// processing at the sixth step": or leave them for the peer to repeat.
	bare := o
	bare.Why += "; text and FIN left to be sent again"
	o.RcvNxt += smaller(s.Text, t.RcvWnd)
	if s.has(FIN) && s.Text < t.RcvWnd {
		o.State = CloseWait
		o.RcvNxt++
	}
	if o.RcvNxt == bare.RcvNxt {
		return []Outcome{o}
	}
	return []Outcome{o, bare}
}

// outdated says of s that R1 of RFC 7323 section 5.3 rejects it (PAWS).
func (t TCB) outdated(s Segment) bool {
	return t.Timestamps && s.HasTS && !s.has(RST) && less(s.TSVal, t.TSRecent)
}

// acceptable is the test of section 3.4 and of table 6.
func (t TCB) acceptable(s Segment) bool {
	in := func(n uint32) bool { return n-t.RcvNxt < t.RcvWnd }
	switch n := s.Len(); {
	case n == 0 && t.RcvWnd == 0:
		return s.Seq == t.RcvNxt
	case n == 0:
		return in(s.Seq)
	case t.RcvWnd == 0:
		return false
	default:
		return in(s.Seq) || in(s.Seq+n-1)
	}
}

// synchronized is section 3.10.7.4, "Otherwise", which counts SYN-RECEIVED in.
func synchronized(t TCB, s Segment) []Outcome {
	// RFC 7323 section 3.2: one without the option "SHOULD be silently
	// dropped", but none that does so may end the connection.
	if t.Timestamps && !s.HasTS && !s.has(RST) {
		return append([]Outcome{refuse("RFC 7323 3.2: the option is missing", Silence)}, t.checked(s)...)
	}
	return t.checked(s)
}

func (t TCB) checked(s Segment) []Outcome {
	if t.State == TimeWait && s.has(SYN) && !s.has(ACK) && !s.has(RST) && t.newer(s) {
		return []Outcome{
			{Why: "3.10.7.4, fourth, MAY-2 and RFC 6191: a SYN that is newer opens the next connection", State: SynReceived, Answer: SynAck, RcvNxt: s.Seq + 1},
			refuse("RFC 5961 4.2: a SYN is challenged", Acknowledge),
		}
	}
	if t.outdated(s) {
		return []Outcome{refuse("RFC 7323 5.3, R1: TS.Recent is later", Acknowledge)}
	}
	if s.has(RST) {
		return t.reset(s)
	}
	if !t.acceptable(s) {
		return append(t.unacceptable(s), t.crossed(s)...)
	}
	if s.has(SYN) && s.Seq+1 == t.RcvNxt && t.State == SynReceived {
		return append([]Outcome{refuse("RFC 5961 4.2: a SYN is challenged", Acknowledge)}, t.crossed(s)...)
	}
	if s.has(SYN) {
		if t.State == SynReceived && t.Passive {
			return []Outcome{{Why: "3.10.7.4, fourth: SYN in the window of a passive open", State: Listen}}
		}
		return []Outcome{refuse("RFC 5961 4.2: a SYN is challenged", Acknowledge)}
	}
	return t.acknowledged(s)
}

// newer says that a SYN in TIME-WAIT belongs to a later connection.
func (t TCB) newer(s Segment) bool {
	return less(t.RcvNxt, s.Seq) || t.Timestamps && s.HasTS && less(t.TSRecent, s.TSVal)
}

// reset is the second check, of RFC 5961 section 3.2.
func (t TCB) reset(s Segment) []Outcome {
	switch {
	case s.Seq == t.RcvNxt:
	case s.Seq-t.RcvNxt < t.RcvWnd:
		return []Outcome{refuse("RFC 5961 3.2: RST in the window, not at its edge", Acknowledge)}
	default:
		return []Outcome{refuse("RFC 5961 3.2: RST outside of the window", Silence)}
	}
	o := Outcome{Why: "3.10.7.4, second: RST at RCV.NXT", State: Closed}
	switch {
	case t.State == SynReceived && t.Passive:
		o.State = Listen
	case t.State == TimeWait:
		return []Outcome{o, refuse("RFC 1337: RST in TIME-WAIT is ignored", Silence)}
	}
	return []Outcome{o}
}

// unacceptable is what the first check refuses.
func (t TCB) unacceptable(s Segment) []Outcome {
	all := []Outcome{refuse("3.10.7.4, first: not acceptable", Acknowledge)}
	switch {
	case t.RcvWnd == 0 && s.Seq == t.RcvNxt && !s.has(SYN):
		// "Special allowance should be made to accept valid ACKs": its text
		// and FIN are none that there is room for.
		bare := s
		bare.Text, bare.Flags = 0, s.Flags&^FIN
		for _, o := range t.acknowledged(bare) {
			if o.Answer != Reset {
				o.Answer = Acknowledge
			}
			o.Why = "3.10.7.4, first: window of zero, the ACK is valid; " + o.Why
			all = append(all, o)
		}
	case t.State == SynReceived && s.has(SYN) && s.Seq+1 == t.RcvNxt:
		// Both ways the peer learns that its SYN has arrived.
		all = append(all, refuse("3.8.1: the SYN again, so the SYN,ACK again", SynAck))
	case t.State == TimeWait && s.has(SYN):
		all = append(all, refuse("RFC 5961 4.2: a SYN is challenged", Acknowledge))
	}
	return all
}

// crossed is the SYN,ACK of a simultaneous open, whose SYN has come before:
// figure 8 shows it establish the connection, though table 6 refuses it.
func (t TCB) crossed(s Segment) (all []Outcome) {
	if t.State != SynReceived || t.Passive || !s.has(SYN) || !s.has(ACK) || s.Seq+1 != t.RcvNxt || !t.acksSYN(s) {
		return nil
	}
	s.Seq, s.Flags = t.RcvNxt, s.Flags&^SYN
	for _, o := range t.acknowledged(s) {
		o.Why = "3.5, figure 8; " + o.Why
		all = append(all, o)
	}
	return all
}

func (t TCB) acksSYN(s Segment) bool { return less(t.SndUna, s.Ack) && atMost(s.Ack, t.SndNxt) }

// acknowledged is the fifth check and what follows it.
func (t TCB) acknowledged(s Segment) []Outcome {
	if !s.has(ACK) {
		return []Outcome{refuse("3.10.7.4, fifth: ACK off", Silence)}
	}
	if t.State == SynReceived {
		if !t.acksSYN(s) {
			all := []Outcome{refuse("3.10.7.4, fifth: the ACK in SYN-RECEIVED is not acceptable", Reset)}
			if less(s.Ack, t.SndUna-t.MaxWnd) || less(t.SndNxt, s.Ack) {
				all = append(all, refuse("RFC 5961 5.2: ACK outside of its range", Acknowledge))
			}
			return all
		}
		t.State = Established
		t.SndUna, t.SndWnd, t.SndWL1, t.SndWL2 = s.Ack, s.Wnd, s.Seq, s.Ack
	}
	if less(s.Ack, t.SndUna-t.MaxWnd) || less(t.SndNxt, s.Ack) {
		return []Outcome{refuse("RFC 5961 5.2: ACK outside of its range", Acknowledge)}
	}

	// Nothing has changed before this line (save in SYN-RECEIVED, by an ACK
	// that was acceptable): RFC 7323 would record the timestamp before the ACK
	// is looked at, and so let anybody who meets the window set TS.Recent.
	if t.Timestamps && s.HasTS && atMost(t.TSRecent, s.TSVal) && atMost(s.Seq, t.LastAckSent) {
		t.TSRecent = s.TSVal
	}
	if less(t.SndUna, s.Ack) {
		t.SndUna = s.Ack
	}
	if t.SndUna == s.Ack && (less(t.SndWL1, s.Seq) || t.SndWL1 == s.Seq && atMost(t.SndWL2, s.Ack)) {
		t.SndWnd = s.Wnd
	}

	finAcked := t.SndUna == t.SndNxt
	switch {
	case t.State == FinWait1 && finAcked:
		t.State = FinWait2
	case t.State == Closing && finAcked:
		return []Outcome{t.outcome("3.10.7.4, fifth: CLOSING, the FIN is acknowledged", TimeWait, AckOrNot)}
	case t.State == LastAck && finAcked:
		return []Outcome{t.outcome("3.10.7.4, fifth: LAST-ACK, the FIN is acknowledged", Closed, Silence)}
	}
	switch t.State {
	case CloseWait, Closing, LastAck, TimeWait:
		return []Outcome{t.outcome("3.10.7.4, seventh: text after the peer's FIN is ignored", t.State, AckOrNot)}
	}
	return t.text(s)
}

// outcome is the state of t as one.
func (t TCB) outcome(why string, state State, a Answer) Outcome {
	return Outcome{Why: why, Answer: a, State: state, SndUna: t.SndUna, SndWnd: t.SndWnd, RcvNxt: t.RcvNxt, TSRecent: t.TSRecent}
}

// text is the seventh and the eighth check, in ESTABLISHED, FIN-WAIT-1 and
// FIN-WAIT-2.
func (t TCB) text(s Segment) []Outcome {
	if t.Closed && s.Text > 0 && less(t.RcvNxt, s.Seq+s.Text) {
		return []Outcome{
			{Why: "3.6.1, MUST-13 (RFC 1122 4.2.2.13): text for a user that has closed", Answer: Reset, State: Closed},
		}
	}
	if s.Len() == 0 {
		return []Outcome{t.outcome("3.10.7.4, fifth: an ACK and nothing else", t.State, Silence)}
	}
	if less(t.RcvNxt, s.Seq) {
		return []Outcome{t.outcome("3.10.7.4, seventh; RFC 5681 4.2: text out of order", t.State, Acknowledge)}
	}

	edge := t.RcvNxt + t.RcvWnd
	end := s.Seq + s.Text
	if less(edge, end) {
		end = edge
	}
	if less(t.RcvNxt, end) {
		t.RcvNxt = end
	}
	if !s.has(FIN) && t.AheadFrom != t.AheadTo && atMost(t.AheadFrom, t.RcvNxt) && less(t.RcvNxt, t.AheadTo) {
		t.RcvNxt = t.AheadTo // what waited behind the hole
		return []Outcome{t.outcome("3.10.7.4, seventh; RFC 5681 4.2: text that fills a hole", t.State, Acknowledge)}
	}
	if !s.has(FIN) || s.Seq+s.Text != t.RcvNxt {
		return []Outcome{t.outcome("3.10.7.4, seventh: text in order", t.State, AckSoon)}
	}
	if s.Seq+s.Text == edge {
		return []Outcome{t.outcome("3.4: the FIN lies behind the window", t.State, AckSoon)}
	}
	t.RcvNxt++
	switch t.State {
	case Established:
		return []Outcome{t.outcome("3.10.7.4, eighth: FIN", CloseWait, AckSoon)}
	case FinWait1:
		return []Outcome{t.outcome("3.10.7.4, eighth: FIN before ours is acknowledged", Closing, AckSoon)}
	}
	return []Outcome{t.outcome("3.10.7.4, eighth: FIN", TimeWait, AckSoon)}
}

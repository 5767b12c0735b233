package arrives

import "testing"

// TestOutcomes is a few rows of RFC 9293 section 3.10.7, by hand.
func TestOutcomes(t *testing.T) {
	open := TCB{State: Established, SndUna: 100, SndNxt: 200, SndWnd: 500, MaxWnd: 500, RcvNxt: 1000, RcvWnd: 50, LastAckSent: 1000}
	stamped := open
	stamped.Timestamps, stamped.TSRecent = true, 7
	with := func(v TCB, s State) TCB { v.State = s; return v }
	half := TCB{State: SynReceived, Passive: true, ISS: 99, SndUna: 99, SndNxt: 100, RcvNxt: 1000, RcvWnd: 50}

	for _, c := range []struct {
		name string
		TCB
		Segment
		answer  Answer
		refused bool
		state   State
		rcvNxt  uint32
	}{
		{"CLOSED, ACK", TCB{}, Segment{Flags: ACK, Ack: 5}, Reset, true, 0, 0},
		{"CLOSED, SYN", TCB{}, Segment{Flags: SYN}, ResetAck, true, 0, 0},
		{"LISTEN, SYN", TCB{State: Listen}, Segment{Flags: SYN, Seq: 9}, SynAck, false, SynReceived, 10},
		{"SYN-SENT, RST without ACK", TCB{State: SynSent, ISS: 99, SndUna: 99, SndNxt: 100}, Segment{Flags: RST}, Silence, true, 0, 0},
		{"SYN-SENT, SYN,ACK", TCB{State: SynSent, ISS: 99, SndUna: 99, SndNxt: 100}, Segment{Flags: SYN | ACK, Seq: 9, Ack: 100}, Acknowledge, false, Established, 10},
		{"SYN-RECEIVED, a good ACK", half, Segment{Flags: ACK, Seq: 1000, Ack: 100}, Silence, false, Established, 1000},
		{"SYN-RECEIVED, a bad ACK", half, Segment{Flags: ACK, Seq: 1000, Ack: 101}, Reset, true, 0, 0},
		{"SYN-RECEIVED, RST", half, Segment{Flags: RST, Seq: 1000}, Silence, false, Listen, 0},
		{"text in order", open, Segment{Flags: ACK, Seq: 1000, Ack: 150, Text: 10}, AckSoon, false, Established, 1010},
		{"text that is half old", open, Segment{Flags: ACK, Seq: 995, Ack: 150, Text: 10}, AckSoon, false, Established, 1005},
		{"text beyond the window", open, Segment{Flags: ACK, Seq: 1000, Ack: 150, Text: 60}, AckSoon, false, Established, 1050},
		{"old text", open, Segment{Flags: ACK, Seq: 990, Ack: 150, Text: 10}, Acknowledge, true, 0, 0},
		{"RST in the window", open, Segment{Flags: RST, Seq: 1001}, Acknowledge, true, 0, 0},
		{"RST at RCV.NXT", open, Segment{Flags: RST, Seq: 1000}, Silence, false, Closed, 0},
		{"ACK of what was not sent", open, Segment{Flags: ACK, Seq: 1000, Ack: 201}, Acknowledge, true, 0, 0},
		{"old timestamp", stamped, Segment{Flags: ACK, Seq: 1000, Ack: 200, HasTS: true, TSVal: 6}, Acknowledge, true, 0, 0},
		{"FIN", open, Segment{Flags: ACK | FIN, Seq: 1000, Ack: 200}, AckSoon, false, CloseWait, 1001},
		{"FIN-WAIT-1, FIN", with(open, FinWait1), Segment{Flags: ACK | FIN, Seq: 1000, Ack: 150}, AckSoon, false, Closing, 1001},
		{"FIN-WAIT-1, FIN and our ACK", with(open, FinWait1), Segment{Flags: ACK | FIN, Seq: 1000, Ack: 200}, AckSoon, false, TimeWait, 1001},
		{"LAST-ACK, the ACK", with(open, LastAck), Segment{Flags: ACK, Seq: 1000, Ack: 200}, Silence, false, Closed, 0},
	} {
		o := Outcomes(c.TCB, c.Segment)[0]
		if o.Answer != c.answer || o.Refused != c.refused || !o.Refused && (o.State != c.state || c.state > SynSent && o.RcvNxt != c.rcvNxt) {
			t.Errorf("%s: %+v", c.name, o)
		}
	}
}

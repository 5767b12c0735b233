package machine

import "github.com/seed-012105e5/gonet/internal/testing/arrives"

// A sceneDifference is one from the RFCs that is meant: what may happen instead of
// the outcomes that they ask for.
type sceneDifference struct {
	why      string
	outcomes func(v arrives.TCB, s arrives.Segment) []arrives.Outcome
}

var sceneDifferences = []sceneDifference{
	{
		why: "a SYN in the window of a half-open connection is challenged (RFC 5961 section 4.2): " +
			"by RFC 9293 section 3.10.7.4 whoever guesses the window could take the connection away",
		outcomes: func(v arrives.TCB, s arrives.Segment) []arrives.Outcome {
			return when(v.State == arrives.SynReceived && v.Passive && s.Flags&arrives.SYN != 0, arrives.Outcome{Answer: arrives.Acknowledge, Refused: true})
		},
	},
	{
		why: "the SYN that opened the connection, sent again, is answered by the SYN,ACK again, which echoes its timestamp " +
			"and not the first one's (RFC 7323 section 4.3 (2)), or the peer would measure the time between the two",
		outcomes: func(v arrives.TCB, s arrives.Segment) []arrives.Outcome {
			o := arrives.Outcome{Answer: arrives.SynAck, State: v.State, SndUna: v.SndUna, SndWnd: v.SndWnd, RcvNxt: v.RcvNxt, TSRecent: v.TSRecent}
			if s.HasTS && int32(s.TSVal-v.TSRecent) > 0 {
				o.TSRecent = s.TSVal
			}
			const only = arrives.SYN | arrives.ACK | arrives.RST
			return when(v.State == arrives.SynReceived && s.Flags&only == arrives.SYN && s.Seq+1 == v.RcvNxt, o)
		},
	},
	{
		why: "a segment without text at the right edge of the window is acceptable: so a peer says something that has filled the window",
		outcomes: func(v arrives.TCB, s arrives.Segment) []arrives.Outcome {
			if s.Len() != 0 || s.Seq != v.RcvNxt+v.RcvWnd || s.Flags&arrives.RST != 0 {
				return nil
			}
			s.Seq--
			return arrives.Outcomes(v, s)
		},
	},
	{
		why: "a FIN at the right edge of the window, with no text that is behind it, is taken: it needs no room",
		outcomes: func(v arrives.TCB, s arrives.Segment) []arrives.Outcome {
			if s.Flags&(arrives.FIN|arrives.SYN|arrives.RST) != arrives.FIN || s.Seq+s.Text != v.RcvNxt+v.RcvWnd {
				return nil
			}
			v.RcvWnd++
			return arrives.Outcomes(v, s)
		},
	},
	{
		why: "an empty segment at RCV.NXT in TIME-WAIT is not answered, whatever it acknowledges, and sets no timestamp: after its FIN all that the peer sends is old",
		outcomes: func(v arrives.TCB, s arrives.Segment) []arrives.Outcome {
			return when(v.State == arrives.TimeWait && s.Len() == 0 && s.Seq == v.RcvNxt && s.Flags&arrives.RST == 0, arrives.Outcome{Refused: true})
		},
	},
	{
		why: "the window of a segment that acknowledges more is taken though its text is older: the old one " +
			"would move right with SND.UNA, beyond what the peer has allowed",
		outcomes: func(v arrives.TCB, s arrives.Segment) []arrives.Outcome {
			if int32(s.Ack-v.SndUna) <= 0 {
				return nil
			}
			all := arrives.Outcomes(v, s)
			for i := range all {
				all[i].SndWnd = s.Wnd
			}
			return all
		},
	},
}

// when is o, if that is so.
func when(so bool, o arrives.Outcome) []arrives.Outcome {
	if !so {
		return nil
	}
	return []arrives.Outcome{o}
}

// Package arrives says what the RFCs ask of a TCP to which a segment arrives:
// RFC 9293 section 3.10.7, with RFC 5961 where that section refers to it, and
// RFC 7323 for timestamps. It is written from these texts alone and shares no
// code with package tcp, whose machine is held against it.
package arrives

// A State is one of RFC 9293's eleven (section 3.3.2).
type State uint8

const (
	Closed State = iota
	Listen
	SynSent
	SynReceived
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
)

var stateNames = [...]string{
	"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
	"FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
}

func (s State) String() string { return stateNames[s] }

// A TCB holds the variables of RFC 9293 section 3.3.1 that decide what becomes
// of a segment.
type TCB struct {
	State   State
	Passive bool // opened so: what fails in SYN-RECEIVED goes back to LISTEN
	Closed  bool // the user has done with both directions, not only ended what it sends

	ISS, SndUna, SndNxt uint32
	SndWnd, MaxWnd      uint32 // MAX.SND.WND of RFC 5961 section 5.2
	SndWL1, SndWL2      uint32
	RcvNxt, RcvWnd      uint32

	// Text that has come ahead of a hole, [From, To); none when they are equal.
	AheadFrom, AheadTo uint32

	// Of RFC 7323, where timestamps are agreed upon.
	Timestamps  bool
	TSRecent    uint32
	LastAckSent uint32
}

// Flags of a segment. The values are the header's.
const (
	FIN uint8 = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// A Segment is one that arrives.
type Segment struct {
	Seq, Ack uint32
	Flags    uint8
	Wnd      uint32 // scaled already
	Text     uint32 // bytes

	HasTS bool
	TSVal uint32
}

// Len is SEG.LEN: SYN and FIN count.
func (s Segment) Len() uint32 {
	n := s.Text
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return n
}

func (s Segment) has(f uint8) bool { return s.Flags&f != 0 }

// Sequence numbers and timestamps are compared modulo 2**32 (section 3.4).
func less(a, b uint32) bool   { return int32(a-b) < 0 }
func atMost(a, b uint32) bool { return int32(a-b) <= 0 }

func smaller(a, b uint32) uint32 {
	if less(a, b) {
		return a
	}
	return b
}

// An Answer is what leaves when the segment has been looked at.
type Answer uint8

const (
	Silence     Answer = iota
	Acknowledge        // <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, at once
	AckSoon            // the same, which section 3.8.6.3 lets wait
	AckOrNot           // where the RFC leaves it open
	Reset              // <SEQ=SEG.ACK><CTL=RST>
	ResetAck           // <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
	SynAck             // <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>
)

var answerNames = [...]string{"nothing", "an ACK at once", "an ACK", "an ACK or nothing", "RST at SEG.ACK", "RST,ACK", "SYN,ACK"}

func (a Answer) String() string { return answerNames[a] }

// An Outcome is one way to treat a segment.
type Outcome struct {
	Why    string // the clause that asks for it
	Answer Answer

	// Refused: nothing has changed that anybody could observe. Otherwise the
	// fields below hold what the variables are afterwards.
	Refused bool

	State    State // Closed or Listen: the connection is no more
	SndUna   uint32
	SndWnd   uint32
	RcvNxt   uint32
	TSRecent uint32
}

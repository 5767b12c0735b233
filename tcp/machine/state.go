package machine

// A State is one of the eleven of RFC 9293 section 3.3.2.
type State uint8

const (
	Closed      State = iota // no connection at all
	Listen                   // waiting for a connection request from any remote TCP peer
	SynSent                  // request sent, waiting for a matching one
	SynReceived              // request received and sent, waiting for its acknowledgement
	Established              // open: data can flow both ways
	FinWait1                 // FIN sent, waiting for its acknowledgement or for the peer's FIN
	FinWait2                 // FIN acknowledged, waiting for the peer's
	CloseWait                // peer's FIN received, waiting for the user to close
	Closing                  // both FINs sent, waiting for the acknowledgement of ours
	LastAck                  // peer has closed first; waiting for the acknowledgement of our FIN
	TimeWait                 // waiting until no old segment can be in the network
)

var stateNames = [...]string{"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
	"FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"}

// String is the name that the RFC gives the state.
func (s State) String() string { return stateNames[s] }

// synchronized says whether both ends have agreed on sequence numbers.
func (s State) synchronized() bool { return s >= Established }

// canReceive says whether the peer may still send text in s.
func (s State) canReceive() bool { return s == Established || s == FinWait1 || s == FinWait2 }

// canSend says whether the text that the user queues in s may go out.
func (s State) canSend() bool { return s == Established || s == CloseWait }

// sendsText says whether the retransmission of text can still be needed in s.
func (s State) sendsText() bool {
	switch s {
	case Established, CloseWait, FinWait1, Closing, LastAck:
		return true
	}
	return false
}

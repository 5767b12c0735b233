package ipv4

import "github.com/seed-012105e5/gonet/packet"

// ECN is the field of Explicit Congestion Notification, the two low bits of
// the type of service (RFC 3168 section 5).
type ECN uint8

// The codepoints.
const (
	NotECT ECN = iota // the transport does not take part; a congested router drops
	ECT1              // ECN-capable transport: a congested router may mark instead
	ECT0              // the same, and what most senders use
	CE                // congestion experienced: marked
)

// ECNMask has the bits of ECN in the type of service.
const ECNMask = 3

// String is the name of the codepoint in RFC 3168.
func (e ECN) String() string { return [...]string{"Not-ECT", "ECT(1)", "ECT(0)", "CE"}[e&ECNMask] }

// ECN is the codepoint of the datagram.
func (h Header) ECN() ECN { return ECN(h[1] & ECNMask) }

// reassembledECN is the codepoint of the datagram that parts make. One mark
// marks the whole (RFC 3168 section 5.3); but if some of its parts could not
// have been marked, the marks say nothing, and the datagram is not to be.
func reassembledECN(parts []*packet.Buffer) (e ECN, ok bool) {
	e = Header(parts[0].Bytes()).ECN()
	marked, foreign := false, false
	for _, b := range parts {
		part := Header(b.Bytes()).ECN()
		marked = marked || part == CE
		foreign = foreign || part == NotECT
	}
	if marked {
		e = CE
	}
	return e, !marked || !foreign
}

package ip

// ECN is the field of Explicit Congestion Notification, the two low bits of the
// type of service of version 4, and of the traffic class of version 6 (RFC 3168
// section 5).
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

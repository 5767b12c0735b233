package ipv4

import (
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// ECN is the codepoint of the datagram.
func (h Header) ECN() ip.ECN { return ip.ECN(h[1] & ip.ECNMask) }

// reassembledECN is the codepoint of the datagram that parts make. One mark
// marks the whole (RFC 3168 section 5.3); but if some of its parts could not
// have been marked, the marks say nothing, and the datagram is not to be.
func reassembledECN(parts []*packet.Buffer) (e ip.ECN, ok bool) {
	e = Header(parts[0].Bytes()).ECN()
	marked, foreign := false, false
	for _, b := range parts {
		part := Header(b.Bytes()).ECN()
		marked = marked || part == ip.CE
		foreign = foreign || part == ip.NotECT
	}
	if marked {
		e = ip.CE
	}
	return e, !marked || !foreign
}

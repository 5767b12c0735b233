package ip

import (
	"net/netip"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/red"
	"github.com/seed-012105e5/gonet/packet"
)

// Edges are the ways to the links: there is a process that sends for each link,
// and one for loopback. A datagram takes the edge of the link which its addresses
// lead to. So who sends waits for his own link at most, be another as slow as it
// likes, or stuck.
type Edges struct {
	Table *CurrentTable              // nil: there is one sender, and all goes by Loop
	Links []edge.Out[*packet.Buffer] // by link
	Loop  edge.Out[*packet.Buffer]   // for this host itself, and for what no route leads to
}

// To is the edge for datagrams from src to dst.
func (e *Edges) To(src, dst netip.Addr) edge.Out[*packet.Buffer] {
	if e.Table == nil {
		return e.Loop
	}
	if i := e.Table.Load().LinkTo(src, dst); i >= 0 {
		return e.Links[i]
	}
	return e.Loop
}

// Of is the edge for b, whose front is at its network header.
func (e *Edges) Of(b *packet.Buffer) edge.Out[*packet.Buffer] {
	if e.Table == nil {
		return e.Loop
	}
	return e.To(addrs(b.Bytes()))
}

// addrs is the source and destination of a datagram, by the version in its first
// four bits. It has been made here, or checked when it came in.
func addrs(datagram []byte) (src, dst netip.Addr) {
	if datagram[0]>>4 == 6 {
		return netip.AddrFrom16([16]byte(datagram[8:])), netip.AddrFrom16([16]byte(datagram[24:])) // RFC 8200 section 3
	}
	return netip.AddrFrom4([4]byte(datagram[12:])), netip.AddrFrom4([4]byte(datagram[16:])) // RFC 791 section 3.1
}

// Offer puts b on its edge if there is room, and says whether there was: whoever
// turns receiving into sending must not wait. When the edge is nearly full chance
// decides. A forged segment is answered here when there is no such connection, and
// not when there is: by a last place, which the answer takes or leaves free for his
// own, a forger would see which connections there are. Random returns 64 random
// bits.
func (e *Edges) Offer(b *packet.Buffer, random func() uint64) bool {
	out := e.Of(b)
	return !red.Full(out.Waiting(), out.Capacity(), random) && out.Try(b)
}

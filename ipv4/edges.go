package ipv4

import (
	"encoding/binary"
	"net/netip"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/red"
	"github.com/seed-012105e5/gonet/packet"
)

// Edges are the ways into Tx, of which there is one for each link and one for
// loopback. A datagram takes that of the link which its addresses lead to. So who
// sends waits for his own link at most, be another as slow as it likes, or dead.
type Edges struct {
	Table *Table                     // nil: there is one Tx, and all goes by Loop
	Links []edge.Out[*packet.Buffer] // by link
	Loop  edge.Out[*packet.Buffer]   // for this host itself, and for what no route leads to
}

// To is the edge for datagrams from src to dst.
func (e *Edges) To(src, dst netip.Addr) edge.Out[*packet.Buffer] {
	if e.Table == nil || !src.Is4() || !dst.Is4() {
		return e.Loop
	}
	return e.to(toUint32(src), toUint32(dst))
}

// Of is the edge for b, whose front is at its header.
func (e *Edges) Of(b *packet.Buffer) edge.Out[*packet.Buffer] {
	if e.Table == nil {
		return e.Loop
	}
	h := b.Bytes()
	return e.to(binary.BigEndian.Uint32(h[12:]), binary.BigEndian.Uint32(h[16:]))
}

func (e *Edges) to(src, dst uint32) edge.Out[*packet.Buffer] {
	if i := e.Table.linkTo(src, dst); i >= 0 {
		return e.Links[i]
	}
	return e.Loop
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

// linkTo is the link by which datagrams from src to dst leave, as long as ICMP
// has given no advice; -1 for loopback, and where no route leads.
func (t *Table) linkTo(src, dst uint32) int {
	i := t.find(dst)
	if i == len(t.entries) {
		return -1
	}
	hop := &t.entries[i].hop
	if hop.Broadcast && len(t.links) > 1 {
		if link, ok := t.linkOf(toAddr(src)); ok {
			return link
		}
	}
	return hop.Link
}

// Advise tells each Tx, and says whether all have taken it. Who gives advice does
// not wait.
func Advise(to []edge.Out[Advice], a Advice) bool {
	all := true
	for _, out := range to {
		all = out.Try(a) && all
	}
	return all
}

// Package tcptest has what tests of TCP share: segments in a short notation, as
// packets and back again.
package tcptest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A halving controller is Reno that takes a mark for no less than a loss.
type halving struct{ congestion.Reno }

func (h *halving) Marked(l congestion.Loss) { h.Lost(l) }

// A Precise controller wants to know of each byte whether it was marked, and
// takes note of what it is told.
type Precise struct {
	halving
	Ce, Delivered int
}

func (*Precise) PreciseECN() {}
func (p *Precise) Acked(a congestion.Ack) {
	p.Ce += a.CE
	p.Delivered += a.Delivered
	p.halving.Acked(a)
}

// ControllersOfTests are those that a configuration of a test may name.
func ControllersOfTests() map[string]congestion.Factory {
	return map[string]congestion.Factory{
		"halving": func(p congestion.Params) congestion.Controller { return &halving{*congestion.NewReno(p)} },
		"precise": func(p congestion.Params) congestion.Controller {
			return &Precise{halving: halving{*congestion.NewReno(p)}}
		},
	}
}

// Wire is s as a datagram of flow f with text, its front at the TCP header.
func Wire(s segment.Segment, f ip.Flow, text []byte) *packet.Buffer { return WireBy(s, f, text, nil) }

// WireBy is wire with IP options.
func WireBy(s segment.Segment, f ip.Flow, text, ipOptions []byte) *packet.Buffer {
	b := packet.From(text)
	segment.Encode(b, &s, &f)
	ipv4.Push(b, ipv4.Fields{TOS: uint8(s.ECN), Protocol: ip.ProtocolTCP, Src: f.Local.Addr(), Dst: f.Remote.Addr(), Options: ipOptions})
	b.Pull(ipv4.MinHeaderLen + len(ipOptions))
	b.CompleteChecksum()
	return b
}

// A WireSegment is one that a node has put on the wire.
type WireSegment struct {
	segment.Segment
	Flow ip.Flow
	Data []byte // its text
}

// Start is when fake time begins.
var Start = time.Unix(1_000_000_000, 0)

// Where sequence numbers of tests begin: near the wrap.
const (
	ISS segment.Seq = 0xfffffff0
	IRS segment.Seq = 0xffffff00
)

// PeerFlow is a connection with peer number i.
func PeerFlow(i int) ip.Flow {
	return FlowOf("10.0.0.1", 80, "10.0.0.2", uint16(40000+i))
}
func FlowOf(local string, localPort uint16, remote string, remotePort uint16) ip.Flow {
	return ip.Flow{
		Local:  ip.EndpointOf(netip.MustParseAddr(local), localPort),
		Remote: ip.EndpointOf(netip.MustParseAddr(remote), remotePort),
	}
}

// SetAddr changes the address of e.
func SetAddr(e *ip.Endpoint, a ...byte) { *e = ip.EndpointOf(netip.AddrFrom4([4]byte(a)), e.Port) }
func ParseSegment(b *packet.Buffer) (s segment.Segment, err error) {
	err = segment.Parse(b, &s)
	return s, err
}

var (
	HostAddr = netip.MustParseAddr("10.0.0.1")
	PeerAddr = netip.MustParseAddr("10.0.0.2")
)

// Piece is text [from, to) of the peer's stream in a Buffer with room for size.
func Piece(from, to, size int) *packet.Buffer {
	b := packet.Get(max(size, to-from))
	p := b.Extend(to - from)
	for i := range p {
		p[i] = PeerByte(from + i)
	}
	return b
}

// PeerByte is byte i of what the peer writes.
func PeerByte(i int) byte { return byte(i*31 + i>>8*7 + 1) }

// LeakCheck fails the test when packets are left at its end.
func LeakCheck(t *testing.T) {
	live := packet.Live()
	t.Cleanup(func() {
		if n := packet.Live() - live; n != 0 {
			t.Errorf("%d packets leak", n)
		}
	})
}

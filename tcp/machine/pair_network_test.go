package machine

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/internal/testing/referee"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// The network between the ends of a pair.

// A transit is a segment on its way, or a router's word about one.
type transit struct {
	at time.Time
	to int
	segment.Segment
	data   []byte
	tooBig []byte // the router's word, as an ICMP error
}

// narrow is a path whose MTU changes. Larger datagrams are dropped, by a router
// that says so or by one that does not.
type narrow struct {
	mtu    int       // 0 for any
	at     time.Time // when it changes; zero for never
	silent bool
}

func (n *narrow) step(now time.Time, rnd *rand.Rand) {
	if !Due(n.at, now) {
		return
	}
	n.mtu = 560 + rnd.IntN(1000)
	n.at = now.Add(time.Duration(rnd.ExpFloat64() * float64(20*time.Second)))
	if now.Sub(tcptest.Start) > time.Minute {
		n.at = time.Time{}
	}
}

// roughen makes the network worse, and its users: the MTU of the path changes,
// all go by a source route, or change how they recover and control congestion.
func (p *pair) roughen(rnd *rand.Rand) {
	p.fickle = rnd.IntN(4) == 0
	if rnd.IntN(2) == 0 {
		p.narrow = narrow{at: p.now, silent: rnd.IntN(3) == 0}
	}
	var by []netip.Addr
	for range max(0, rnd.IntN(14)-segment.MaxGateways) {
		by = append(by, netip.AddrFrom4([4]byte{10, 1, 0, 1}))
	}
	p.route, _ = segment.NewSourceRoute(by, tcptest.HostAddr)
}

// watch has a referee watch end i.
func (p *pair) watch(i int) {
	p.ends[i].referee = &referee.Referee{
		Foul: func(err error) {
			if p.foul == nil {
				p.foul = err
			}
		},
		Differs: func(got []byte, from int) int { return differs(got, text(i, from, len(got))) },
	}
}

// differs is where two texts of the same length do; -1 if nowhere.
func differs(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// datagram is s as it goes on the wire.
func (p *pair) datagram(f ip.Flow, s segment.Segment, text []byte) []byte {
	b := packet.From(text)
	defer b.Release()
	segment.Encode(b, &s, &f)
	fields := ipv4.Fields{Protocol: ip.ProtocolTCP, Src: f.Local.Addr(), Dst: f.Remote.Addr()}
	fields.Options = make([]byte, p.route.Len()) // as long as the route, but without it
	ipv4.Push(b, fields)
	b.CompleteChecksum()
	h := ipv4.Header(b.Bytes())
	binary.BigEndian.PutUint16(h[10:], checksum.Of(h[:h.Len()]))
	return append([]byte(nil), h...)
}

// collect puts what the nodes have sent into the network, cut into segments.
func (p *pair) collect() {
	for i, e := range p.ends {
		for _, w := range e.sent {
			step := max(1, len(w.Data))
			if w.Train > 0 {
				step = w.Train
			}
			for from := 0; from == 0 || from < len(w.Data); from += step {
				s, to := w.Segment, min(len(w.Data), from+step)
				s.Seq, s.Len, s.Train = s.Seq.Add(from), to-from, 0
				if to < len(w.Data) {
					s.Flags &^= segment.FIN | segment.PSH
				}
				if from > 0 {
					s.Flags &^= segment.CWR
				}
				if s.ECN != ip.NotECT && p.rnd.Float64() < p.marks {
					s.ECN = ip.CE
				}
				p.send(i, s, w.Data[from:to])
			}
		}
		e.sent = nil
	}
}

// send takes one segment from end i, if its size is right.
func (p *pair) send(i int, s segment.Segment, text []byte) {
	d := p.datagram(p.ends[i].flow, s, text)
	p.ends[i].referee.Sends(p.now, d)
	if p.narrow.mtu == 0 || len(d) <= p.narrow.mtu {
		p.carry(1-i, s, text)
		return
	}
	if !p.narrow.silent && p.rnd.Float64() >= p.loss {
		p.transit = append(p.transit, transit{at: p.now.Add(p.delay), to: i, Segment: s, tooBig: tooBig(d, p.narrow.mtu)})
	}
}

// carry brings one segment over, or not, or twice.
func (p *pair) carry(to int, s segment.Segment, data []byte) {
	if p.rnd.Float64() < p.loss {
		return
	}
	at := p.now.Add(p.delay)
	if p.rnd.Float64() < p.loss {
		at = at.Add(time.Duration(p.rnd.Int64N(int64(3 * p.delay))))
	}
	p.transit = append(p.transit, transit{at: at, to: to, Segment: s, data: data})
	if p.rnd.Float64() < p.loss/2 {
		p.transit = append(p.transit, transit{at: at.Add(p.delay / 3), to: to, Segment: s, data: data})
	}
}

// next takes the segment that arrives first off the network.
func (p *pair) next() (first transit, ok bool) {
	k := -1
	for i, x := range p.transit {
		if k < 0 || x.at.Before(p.transit[k].at) {
			k = i
		}
	}
	if k < 0 {
		return first, false
	}
	first = p.transit[k]
	p.transit = append(p.transit[:k], p.transit[k+1:]...)
	return first, true
}

// tooBig is what a router says of a datagram that does not fit the next link
// (RFC 1191 section 4).
func tooBig(d []byte, mtu int) []byte {
	b := packet.From(d[:ipv4.Header(d).Len()+8])
	defer b.Release()
	h := b.Push(8)
	clear(h)
	h[0], h[1] = ip.TypeUnreachable, ip.CodeFragmentationNeeded
	binary.BigEndian.PutUint16(h[6:], uint16(mtu))
	ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolICMP, Src: netip.MustParseAddr("10.1.0.1"), Dst: ipv4.Header(d).Src()})
	return append([]byte(nil), b.Bytes()...)
}

// deliver has x arrive.
func (p *pair) deliver(x transit) {
	e := p.ends[x.to]
	if x.tooBig != nil {
		e.referee.Hears(p.now, x.tooBig)
		if e.t != nil && !e.departed() {
			r := ip.ICMPError{Type: ip.TypeUnreachable, Code: ip.CodeFragmentationNeeded, MTU: int(binary.BigEndian.Uint16(x.tooBig[26:]))}
			binary.BigEndian.PutUint32(r.Transport[4:], uint32(x.Seq+e.shift[e.flow]))
			e.t.IcmpError(p.now, r)
		}
		return
	}
	e.referee.Hears(p.now, p.datagram(ip.Flow{Local: e.flow.Remote, Remote: e.flow.Local}, x.Segment, x.data))
	x.Text, x.Segment.Route = packet.From(x.data), p.route
	e.arrives(e.flow, x.Segment)
}

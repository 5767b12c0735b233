package machine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A crowd is a Loop to which many hosts talk, in fake time. What each of them
// sees of it is written down, to the bytes and the instant.
type crowd struct {
	*Loop
	now      time.Time
	schedule *rand.Rand // what tests draw from; the Loop has a source of its own
	seen     map[netip.Addr]*strings.Builder
	ends     map[ip.Flow]*remoteEnd
	queues   map[*Listener]int // how many connections there is still room for
}

// A remoteEnd is a connection as its remote host has it. Nothing is lost on the
// way, which takes no time.
type remoteEnd struct {
	*crowd
	flow     ip.Flow     // as the Loop sees it
	nxt, rcv segment.Seq // SND.NXT and RCV.NXT of the host
	isn      segment.Seq // of the Loop
}

func newCrowd(cfg Config, seed uint64) *crowd {
	c := &crowd{now: tcptest.Start, schedule: rand.New(rand.NewPCG(seed, 1)), seen: map[netip.Addr]*strings.Builder{}, ends: map[ip.Flow]*remoteEnd{}, queues: map[*Listener]int{}}
	cfg.Table, cfg.Random = sceneTable, rand.New(rand.NewPCG(seed, 2)).Uint64
	c.Loop = NewLoop(cfg, c.sees, new(Stats))
	c.host = c
	return c
}

// serve adds a listener of port 80 in whose queue so many connections fit, of
// which nobody takes one out.
func (c *crowd) serve(share Share, queue int, s Service) *Listener {
	l := &Listener{Local: ip.Endpoint{Port: 80}, Share: share, Opts: &c.cfg.options}
	c.queues[l] = queue
	if !c.AddListener(l) {
		panic("the port is in use")
	}
	c.services[l] = s
	return l
}

// Room and opened are those of a demux.
func (c *crowd) Room(l *Listener) bool { return c.queues[l] > 0 }

func (c *crowd) Opened(l *Listener, t *TCB) {
	c.queues[l]--
	c.Loop.Opened(l, t)
}

// sees is the network: a host gets b.
func (c *crowd) sees(b *packet.Buffer) {
	defer b.Release()
	b.MarkNetwork()
	network := ipv4.Header(b.Bytes())
	f := ip.Flow{Local: ip.EndpointOf(network.Src(), 0), Remote: ip.EndpointOf(network.Dst(), 0)}
	if b.SegmentSize == 0 {
		b.CompleteChecksum()
	}
	raw := fmt.Sprintf("%x", b.Bytes()[:network.Len()+segment.MinHeaderLen])
	b.Pull(network.Len())
	var s segment.Segment
	if err := segment.Parse(b, &s); err != nil {
		panic(err)
	}
	h := network[network.Len():]
	f.Local.Port, f.Remote.Port = binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	view := c.view(f.Remote.Addr())
	fmt.Fprintf(view, "%v port %d, %v, cut into %d, %s\n", c.now.Sub(tcptest.Start), f.Remote.Port, &s, s.Train, raw)
	if e := c.ends[f]; e != nil && !s.Has(segment.RST) {
		if s.Has(segment.SYN) {
			e.isn, e.rcv = s.Seq, s.Seq
		}
		if s.Seq == e.rcv {
			e.rcv = s.End()
		}
	}
}

func (c *crowd) view(host netip.Addr) *strings.Builder {
	if c.seen[host] == nil {
		c.seen[host] = new(strings.Builder)
	}
	return c.seen[host]
}

// pass lets time pass.
func (c *crowd) pass(d time.Duration) {
	to := c.now.Add(d)
	for range 10000 {
		at := c.Deadline()
		if !Due(at, to) {
			c.now = to
			return
		}
		if at.After(c.now) {
			c.now = at
		}
		c.Expire(c.now)
		c.work()
	}
	panic("the timer is stuck")
}

func (c *crowd) work() {
	for c.Work(c.now) {
	}
}

// arrives has s arrive, which may be forged.
func (c *crowd) arrives(f ip.Flow, s segment.Segment) {
	b := tcptest.Wire(s, ip.Flow{Local: f.Remote, Remote: f.Local}, make([]byte, s.Len))
	b.Arrived = c.now
	c.Arrives(b)
	c.work()
}

// end is a connection from a port of host number i, 10.0.0.i, that has not begun.
func (c *crowd) end(i byte, port uint16) *remoteEnd {
	e := &remoteEnd{crowd: c, flow: tcptest.FlowOf("10.0.0.1", 80, netip.AddrFrom4([4]byte{10, 0, 0, i}).String(), port), nxt: segment.Seq(port) * 70001}
	c.ends[e.flow] = e
	return e
}

// send has a segment of e arrive, whose numbers are right where s has zeros.
func (e *remoteEnd) send(s segment.Segment) {
	s.Seq += e.nxt
	if s.Has(segment.ACK) {
		s.Ack += e.rcv
	}
	if s.Window == 0 {
		s.Window = 60000
	}
	e.arrives(e.flow, s)
}

// connect makes the connection, and says whether the SYN was answered.
func (e *remoteEnd) connect() bool {
	e.send(segment.Segment{Flags: segment.SYN, Opts: segment.Options{MSS: 1460}})
	if e.rcv == 0 {
		return false
	}
	e.nxt++
	e.send(segment.Segment{Flags: segment.ACK})
	return true
}

// finish answers the FIN of the Loop, which then is in TIME-WAIT.
func (e *remoteEnd) finish() {
	e.send(segment.Segment{Flags: segment.FIN | segment.ACK})
	e.nxt++
}

// forgeries are segments in the name of e such as somebody sends who knows its
// ends, and whatever else he likes of it.
func (c *crowd) forgeries(e *remoteEnd) {
	for _, f := range []segment.Flags{segment.SYN, segment.RST, segment.ACK, segment.RST | segment.ACK, segment.SYN | segment.ACK, segment.FIN | segment.ACK} {
		for _, by := range []segment.Seq{0, 1, 3000, 1 << 20, 1 << 31} {
			c.arrives(e.flow, segment.Segment{Seq: e.nxt + by, Ack: e.rcv + segment.Seq(c.schedule.Uint32N(3)), Flags: f, Window: 1000, Len: c.schedule.IntN(2) * 10})
		}
	}
}

// quiet is a Service that never takes anything, and closing one that closes at once.
func quiet(*Stream) bool { return false }

func closing(s *Stream) bool {
	s.Close()
	return false
}

// sayMuch is a Service that writes some segments to each connection.
func sayMuch() Service {
	said := map[*Stream]bool{}
	return func(s *Stream) bool {
		if !said[s] {
			said[s] = true
			if _, err := s.Write(make([]byte, 8000)); err != nil {
				panic(err)
			}
		}
		return false
	}
}

// tooBig has a router's word about the segment q of a connection arrive, as
// demux.icmpError has it.
func (c *crowd) tooBig(f ip.Flow, q segment.Seq, mtu int) {
	s, ok := c.byFlow[f]
	if !ok {
		return
	}
	r := ip.ICMPError{Type: ip.TypeUnreachable, Code: ip.CodeFragmentationNeeded, MTU: mtu, Protocol: ip.ProtocolTCP}
	binary.BigEndian.PutUint32(r.Transport[4:], uint32(q))
	s.t.IcmpError(c.now, r)
	c.Learn(c.now, s.t)
	c.touch(s)
	c.work()
}

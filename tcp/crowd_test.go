package tcp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// A crowd is a Machine to which many hosts talk, in fake time. What each of them
// sees of it is written down, to the bytes and the instant.
type crowd struct {
	*Machine
	now      time.Time
	schedule *rand.Rand // what tests draw from; the Machine has a source of its own
	seen     map[netip.Addr]*strings.Builder
	ends     map[ip.Flow]*remoteEnd
	queues   map[*listening]int // how many connections there is still room for
}

// A remoteEnd is a connection as its remote host has it. Nothing is lost on the
// way, which takes no time.
type remoteEnd struct {
	*crowd
	flow     ip.Flow // as the Machine sees it
	nxt, rcv seq     // SND.NXT and RCV.NXT of the host
	isn      seq     // of the Machine
}

func newCrowd(cfg Config, seed uint64) *crowd {
	c := &crowd{now: start, schedule: rand.New(rand.NewPCG(seed, 1)), seen: map[netip.Addr]*strings.Builder{}, ends: map[ip.Flow]*remoteEnd{}, queues: map[*listening]int{}}
	cfg.Table, cfg.Random = sceneTable, rand.New(rand.NewPCG(seed, 2)).Uint64
	c.Machine = NewMachine(cfg, c.sees, new(Stats))
	c.host = c
	return c
}

// serve adds a listener of port 80 in whose queue so many connections fit, of
// which nobody takes one out.
func (c *crowd) serve(share Share, queue int, s Service) *listening {
	l := &listening{local: ip.Endpoint{Port: 80}, share: share, opts: &c.cfg.options}
	c.queues[l] = queue
	if !c.addListener(l) {
		panic("the port is in use")
	}
	c.services[l] = s
	return l
}

// room and opened are those of a demux.
func (c *crowd) room(l *listening) bool { return c.queues[l] > 0 }

func (c *crowd) opened(l *listening, t *tcb) {
	c.queues[l]--
	c.Machine.opened(l, t)
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
	raw := fmt.Sprintf("%x", b.Bytes()[:network.Len()+minHeaderLen])
	b.Pull(network.Len())
	var s segment
	if err := parse(b, &s); err != nil {
		panic(err)
	}
	h := network[network.Len():]
	f.Local.Port, f.Remote.Port = binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:])
	view := c.view(f.Remote.Addr())
	fmt.Fprintf(view, "%v port %d, %v, cut into %d, %s\n", c.now.Sub(start), f.Remote.Port, &s, s.train, raw)
	if e := c.ends[f]; e != nil && !s.has(RST) {
		if s.has(SYN) {
			e.isn, e.rcv = s.seq, s.seq
		}
		if s.seq == e.rcv {
			e.rcv = s.end()
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
		if !due(at, to) {
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
func (c *crowd) arrives(f ip.Flow, s segment) {
	b := wire(s, ip.Flow{Local: f.Remote, Remote: f.Local}, make([]byte, s.len))
	b.Arrived = c.now
	c.Arrives(b)
	c.work()
}

// end is a connection from a port of host number i, 10.0.0.i, that has not begun.
func (c *crowd) end(i byte, port uint16) *remoteEnd {
	e := &remoteEnd{crowd: c, flow: flowOf("10.0.0.1", 80, netip.AddrFrom4([4]byte{10, 0, 0, i}).String(), port), nxt: seq(port) * 70001}
	c.ends[e.flow] = e
	return e
}

// send has a segment of e arrive, whose numbers are right where s has zeros.
func (e *remoteEnd) send(s segment) {
	s.seq += e.nxt
	if s.has(ACK) {
		s.ack += e.rcv
	}
	if s.window == 0 {
		s.window = 60000
	}
	e.arrives(e.flow, s)
}

// connect makes the connection, and says whether the SYN was answered.
func (e *remoteEnd) connect() bool {
	e.send(segment{flags: SYN, opts: options{mss: 1460}})
	if e.rcv == 0 {
		return false
	}
	e.nxt++
	e.send(segment{flags: ACK})
	return true
}

// finish answers the FIN of the Machine, which then is in TIME-WAIT.
func (e *remoteEnd) finish() {
	e.send(segment{flags: FIN | ACK})
	e.nxt++
}

// forgeries are segments in the name of e such as somebody sends who knows its
// ends, and whatever else he likes of it.
func (c *crowd) forgeries(e *remoteEnd) {
	for _, f := range []flags{SYN, RST, ACK, RST | ACK, SYN | ACK, FIN | ACK} {
		for _, by := range []seq{0, 1, 3000, 1 << 20, 1 << 31} {
			c.arrives(e.flow, segment{seq: e.nxt + by, ack: e.rcv + seq(c.schedule.Uint32N(3)), flags: f, window: 1000, len: c.schedule.IntN(2) * 10})
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
func (c *crowd) tooBig(f ip.Flow, q seq, mtu int) {
	s, ok := c.byFlow[f]
	if !ok {
		return
	}
	r := ip.ICMPError{Type: ip.TypeUnreachable, Code: ip.CodeFragmentationNeeded, MTU: mtu, Protocol: ip.ProtocolTCP}
	binary.BigEndian.PutUint32(r.Transport[4:], uint32(q))
	s.t.icmpError(c.now, r)
	c.learn(c.now, s.t)
	c.touch(s)
	c.work()
}

package tcp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// A node is one end of TCP without a goroutine, in fake time: the pure
// machines, joined as the demultiplexer and a connection join them.
// It serves one connection of its own, and any number of half-open ones.
type node struct {
	cfg   Config
	stats Stats
	now   time.Time
	iss   seq
	mtu   int

	flow      ip.Flow // of the connection
	t         *tcb
	listening bool
	listener  listening // its bound of Fast Opens
	halfOpens halfOpens
	timeWaits timeWaits
	fastOpens fastOpens
	secrets   secrets
	shift     map[ip.Flow]seq // how far an ISS that is a cookie is from iss

	sent []wireSegment // not yet looked at
	err  error         // the first rule that was broken
}

// A wireSegment is one that a node has put on the wire.
type wireSegment struct {
	segment
	flow ip.Flow
	data []byte // its text
}

// start is when fake time begins.
var start = time.Unix(1_000_000_000, 0)

// Where sequence numbers of tests begin: near the wrap.
const (
	testISS seq = 0xfffffff0
	testIRS seq = 0xffffff00
)

func newNode(cfg Config, iss seq) *node {
	if cfg.Congestion == "" {
		cfg.Congestion = "reno" // whose windows are plain to compute
	}
	cfg.NoQuickACKs = true // so that what delays do is seen
	cfg.Random = rand.New(rand.NewPCG(1, 9)).Uint64
	n := &node{cfg: cfg.withDefaults(), now: start, iss: iss, mtu: 1500, flow: peerFlow(1)}
	n.halfOpens.limit = n.cfg.SynBacklog
	n.timeWaits.limit = n.cfg.TimeWaits
	random := rand.New(rand.NewPCG(1, 9)).Uint64
	n.secrets, n.shift = newSecrets(random), make(map[ip.Flow]seq)
	return n
}

// peerFlow is a connection with peer number i.
func peerFlow(i int) ip.Flow {
	return flowOf("10.0.0.1", 80, "10.0.0.2", uint16(40000+i))
}

func flowOf(local string, localPort uint16, remote string, remotePort uint16) ip.Flow {
	return ip.Flow{
		Local:  ip.EndpointOf(netip.MustParseAddr(local), localPort),
		Remote: ip.EndpointOf(netip.MustParseAddr(remote), remotePort),
	}
}

// setAddr changes the address of e.
func setAddr(e *ip.Endpoint, a ...byte) { *e = ip.EndpointOf(netip.AddrFrom4([4]byte(a)), e.Port) }

// ourTSBase is the first value of our timestamp clock; it wraps soon.
const ourTSBase = 0xfffffc00

func tsOffset() uint32 { return ourTSBase - timestamp(start, 0) }

func (n *node) open() {
	n.t = newTCB(&n.cfg, &n.stats, n.flow, n.iss, n.mtu)
	n.t.tsOffset = tsOffset()
	n.t.open(n.now)
}

// arrives handles a segment in the order of the demultiplexer.
func (n *node) arrives(f ip.Flow, s segment) {
	s.ack += n.shift[f]
	for i := range s.opts.sacks {
		s.opts.sack[i].left, s.opts.sack[i].right = s.opts.sack[i].left+n.shift[f], s.opts.sack[i].right+n.shift[f]
	}
	if n.t != nil && f == n.flow && !n.departed() {
		n.t.segmentArrives(n.now, &s)
		return
	}
	reopens := false
	if _, ok := n.timeWaits.byFlow[f]; ok {
		reply, answer, reopen := n.timeWaits.segmentArrives(n.now, f, &s, &n.cfg, &n.stats)
		if answer {
			n.transmit(f, &reply, nil)
		}
		if !reopen {
			release(s.text)
			return
		}
		reopens = true
	}
	if h, ok := n.halfOpens.byFlow[f]; ok {
		n.halfOpenArrives(f, &h, s)
		return
	}
	if n.listening {
		n.listenArrives(f, s, reopens)
		return
	}
	n.closedArrives(f, &s)
	release(s.text)
}

func release(b *packet.Buffer) {
	if b != nil {
		b.Release()
	}
}

// departed says whether the process of the connection would have ended.
func (n *node) departed() bool {
	return n.t.finished() || n.t.state == TimeWait && !n.t.ackNow
}

// state is that of the connection, wherever it is kept.
func (n *node) state() State {
	if _, ok := n.timeWaits.byFlow[n.flow]; ok {
		return TimeWait
	}
	if n.t != nil && !n.departed() {
		return n.t.state
	}
	if _, ok := n.halfOpens.byFlow[n.flow]; ok {
		return SynReceived
	}
	if n.listening {
		return Listen
	}
	return Closed
}

// pump sends what is to be sent.
func (n *node) pump() {
	if n.t == nil {
		return
	}
	const enough = 10000
	for i := 0; ; i++ {
		was := dump(n.t)
		s, ok := output(n.t, n.now)
		if is := dump(n.t); is != was {
			n.fail("output has changed the machine:\n%s\n%s", was, is)
		}
		if !ok {
			break
		}
		if i == enough {
			n.fail("sends without end: %v", &s)
			return
		}
		n.transmit(n.t.flow, &s, n.t)
		n.t.sent(n.now, &s)
		n.check()
	}
	n.t.blocked(n.now)
	n.check()
	if o := n.t.fastOpen; o != nil && (n.t.state.synchronized() || n.departed()) {
		n.t.fastOpen = nil
		n.fastOpens.end(n.now, n.t.flow, n.t.err == syscall.ECONNRESET)
	}
	if n.t.state == TimeWait && n.departed() {
		n.timeWaits.add(n.t.flow, n.t.timeWait(n.now), &n.stats)
		n.t.fail(nil)
	}
}

// transmit puts s on the wire, encoded, and parses it as the peer does.
func (n *node) transmit(f ip.Flow, s *segment, t *tcb) {
	if t == nil {
		t = newTCB(&n.cfg, &n.stats, f, n.iss, n.mtu)
	}
	b := t.build(s)
	defer b.Release()
	b.MarkNetwork()
	b.Pull(ipv4.MinHeaderLen + t.route.len())
	if b.SegmentSize == 0 {
		b.CompleteChecksum()
	}
	w, err := parseSegment(b)
	if err != nil {
		n.fail("%v: %v", s, err)
		return
	}
	w.text = nil
	w.seq -= n.shift[f]
	mtu := t.path.largest()
	switch {
	case s.probe > 0:
		mtu = t.path.most
	case s.has(SYN): // with Fast Open its text is bounded by what the peer took the last time
		mtu = t.path.mtu
	}
	if err := fits(&w, max(mtu, headersLen+12+8)-t.route.len()); err != nil {
		n.fail("%v: %v", s, err)
	}
	n.sent = append(n.sent, wireSegment{segment: w, flow: f, data: append([]byte(nil), b.Bytes()...)})
}

// fits says whether the datagrams that w is cut into fit the path.
func fits(w *segment, mtu int) error {
	headers := ipv4.MinHeaderLen + minHeaderLen + len(w.opts.append(nil, w.has(SYN)))
	perSegment := w.len
	if w.train > 0 {
		perSegment = w.train
	}
	if w.train > 0 && w.has(SYN) {
		return fmt.Errorf("a SYN is cut in two")
	}
	if headers+perSegment > mtu || headers+w.len > ipv4.MaxLen {
		return fmt.Errorf("%d bytes of text, %d in a segment, do not fit %d", w.len, perSegment, mtu)
	}
	return nil
}

// advance lets time pass until to, timer by timer.
func (n *node) advance(to time.Time) {
	stuck := 0
	for d := n.deadline(); due(d, to); d = n.deadline() {
		if stuck++; d.After(n.now) {
			stuck = 0
		}
		if stuck > 100 {
			n.fail("the timer is stuck at %v", d.Sub(start))
			break
		}
		if d.After(n.now) {
			n.now = d
		}
		n.timeWaits.expire(n.now)
		n.halfOpens.expire(n.now, func(f ip.Flow, h *halfOpen) {
			s := n.synACK(f, h)
			n.transmit(f, &s, nil)
		})
		if n.t != nil {
			n.t.expire(n.now)
		}
		n.pump()
	}
	n.now = to
}

func (n *node) deadline() time.Time {
	d := earliest(n.halfOpens.deadline(), n.timeWaits.deadline())
	if n.t != nil && !n.departed() {
		d = earliest(d, n.t.deadline())
	}
	return d
}

func (n *node) check() {
	if err := checkInvariants(n.t); err != nil {
		n.fail("%v", err)
	}
}

func (n *node) fail(format string, args ...any) {
	if n.err == nil {
		n.err = fmt.Errorf(format, args...)
	}
}

// end gives all memory back.
func (n *node) end() {
	if n.t != nil {
		n.t.release()
		n.t.recvq.clear()
	}
}

// output and parseSegment return segments by value, which is handier in tests.
func output(t *tcb, now time.Time) (s segment, ok bool) {
	ok = t.output(now, &s)
	return s, ok
}

func parseSegment(b *packet.Buffer) (s segment, err error) {
	err = parse(b, &s)
	return s, err
}

// newTCB returns a connection in CLOSED, with congestion control.
func newTCB(cfg *Config, stats *Stats, f ip.Flow, iss seq, mtu int) *tcb {
	t := &tcb{activity: new(activity)}
	t.begin(cfg, stats, f, iss, mtu)
	t.beginControl(time.Time{})
	return t
}

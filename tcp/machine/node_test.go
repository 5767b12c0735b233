package machine

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A node is one end of TCP without a goroutine, in fake time: the pure
// machines, joined as the demultiplexer and a connection join them.
// It serves one connection of its own, and any number of half-open ones.
type node struct {
	cfg   Config
	stats Stats
	now   time.Time
	iss   segment.Seq
	mtu   int

	flow      ip.Flow // of the connection
	t         *TCB
	listening bool
	listener  Listener // its bound of Fast Opens
	halfOpens halfOpens
	timeWaits timeWaits
	fastOpens fastOpens
	secrets   secrets
	shift     map[ip.Flow]segment.Seq // how far an ISS that is a cookie is from iss

	sent []tcptest.WireSegment // not yet looked at
	err  error                 // the first rule that was broken
}

func newNode(cfg Config, iss segment.Seq) *node {
	if cfg.Congestion == "" {
		cfg.Congestion = "reno" // whose windows are plain to compute
	}
	cfg.NoQuickACKs = true // so that what delays do is seen
	cfg.Random = rand.New(rand.NewPCG(1, 9)).Uint64
	n := &node{cfg: cfg.withDefaults(), now: tcptest.Start, iss: iss, mtu: 1500, flow: tcptest.PeerFlow(1)}
	n.halfOpens.limit = n.cfg.SynBacklog
	n.timeWaits.limit = n.cfg.TimeWaits
	random := rand.New(rand.NewPCG(1, 9)).Uint64
	n.secrets, n.shift = newSecrets(random), make(map[ip.Flow]segment.Seq)
	return n
}

// OurTSBase is the first value of our timestamp clock; it wraps soon.
const OurTSBase = 0xfffffc00

func tsOffset() uint32 { return OurTSBase - timestamp(tcptest.Start, 0) }

func (n *node) open() {
	n.t = newTCB(&n.cfg, &n.stats, n.flow, n.iss, n.mtu)
	n.t.tsOffset = tsOffset()
	n.t.open(n.now)
}

// arrives handles a segment in the order of the demultiplexer.
func (n *node) arrives(f ip.Flow, s segment.Segment) {
	s.Ack += n.shift[f]
	for i := range s.Opts.SACKs {
		s.Opts.SACK[i].Left, s.Opts.SACK[i].Right = s.Opts.SACK[i].Left+n.shift[f], s.Opts.SACK[i].Right+n.shift[f]
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
			release(s.Text)
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
	release(s.Text)
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
	n.t.Blocked(n.now)
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
func (n *node) transmit(f ip.Flow, s *segment.Segment, t *TCB) {
	if t == nil {
		t = newTCB(&n.cfg, &n.stats, f, n.iss, n.mtu)
	}
	b := t.build(s)
	defer b.Release()
	b.MarkNetwork()
	b.Pull(ipv4.MinHeaderLen + t.route.Len())
	if b.SegmentSize == 0 {
		b.CompleteChecksum()
	}
	w, err := tcptest.ParseSegment(b)
	if err != nil {
		n.fail("%v: %v", s, err)
		return
	}
	w.Text = nil
	w.Seq -= n.shift[f]
	mtu := t.path.largest()
	switch {
	case s.Probe > 0:
		mtu = t.path.most
	case s.Has(segment.SYN): // with Fast Open its text is bounded by what the peer took the last time
		mtu = t.path.mtu
	}
	if err := fits(&w, max(mtu, headersLen+12+8)-t.route.Len()); err != nil {
		n.fail("%v: %v", s, err)
	}
	n.sent = append(n.sent, tcptest.WireSegment{Segment: w, Flow: f, Data: append([]byte(nil), b.Bytes()...)})
}

// fits says whether the datagrams that w is cut into fit the path.
func fits(w *segment.Segment, mtu int) error {
	headers := ipv4.MinHeaderLen + segment.MinHeaderLen + len(w.Opts.Append(nil, w.Has(segment.SYN)))
	perSegment := w.Len
	if w.Train > 0 {
		perSegment = w.Train
	}
	if w.Train > 0 && w.Has(segment.SYN) {
		return fmt.Errorf("a SYN is cut in two")
	}
	if headers+perSegment > mtu || headers+w.Len > ipv4.MaxLen {
		return fmt.Errorf("%d bytes of text, %d in a segment, do not fit %d", w.Len, perSegment, mtu)
	}
	return nil
}

// advance lets time pass until to, timer by timer.
func (n *node) advance(to time.Time) {
	stuck := 0
	for d := n.deadline(); Due(d, to); d = n.deadline() {
		if stuck++; d.After(n.now) {
			stuck = 0
		}
		if stuck > 100 {
			n.fail("the timer is stuck at %v", d.Sub(tcptest.Start))
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
			n.t.Expire(n.now)
		}
		n.pump()
	}
	n.now = to
}

func (n *node) deadline() time.Time {
	d := Earliest(n.halfOpens.deadline(), n.timeWaits.deadline())
	if n.t != nil && !n.departed() {
		d = Earliest(d, n.t.Deadline())
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
func output(t *TCB, now time.Time) (s segment.Segment, ok bool) {
	ok = t.output(now, &s)
	return s, ok
}

// newTCB returns a connection in CLOSED, with congestion control.
func newTCB(cfg *Config, stats *Stats, f ip.Flow, iss segment.Seq, mtu int) *TCB {
	t := &TCB{Transfer: new(Transfer)}
	t.begin(cfg, stats, f, iss, mtu)
	t.beginControl(time.Time{})
	return t
}

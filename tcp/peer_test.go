package tcp

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A peer is the other end of a Demux, played by the test: it sees all that
// goes out, and says what comes in. Each runs in a bubble, in which time is
// virtual and a goroutine that does not end fails the test.
type peer struct {
	t          *testing.T
	in         chan *packet.Buffer
	inbox      *edge.Inbox // of in
	out        chan *packet.Buffer
	icmpErrors *edge.Edge[ip.ICMPError]
	advice     chan ip.Advice
	ended      chan struct{}
	sockets    *Sockets
	stats      Stats

	flow ip.Flow     // as the stack sees it
	iss  segment.Seq // of the stack
	irs  segment.Seq // of the peer
}

// withPeer runs f in a bubble with a stack of configuration cfg, ends the
// stack, and checks that no packet is left.
//
// There are no acknowledgements that do not wait (Config.NoQuickACKs), so that what
// delays do is seen.
func withPeer(t *testing.T, cfg Config, f func(p *peer)) {
	t.Helper()
	cfg.NoQuickACKs = true
	withQuickPeer(t, cfg, f)
}

// withQuickPeer is withPeer with these acknowledgements.
func withQuickPeer(t *testing.T, cfg Config, f func(p *peer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		live := packet.Live()
		p := newPeer(t, cfg)
		defer func() { // after t.Fatal too
			p.end()
			if n := packet.Live() - live; n != 0 {
				t.Errorf("%d packets leak", n)
			}
		}()
		f(p)
	})
}

func newPeer(t *testing.T, cfg Config) *peer {
	p := &peer{
		t: t, in: make(chan *packet.Buffer, 1), out: make(chan *packet.Buffer, 64), advice: make(chan ip.Advice, 1),
		ended: make(chan struct{}), irs: tcptest.IRS, flow: tcptest.PeerFlow(1),
	}
	table, err := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Table, cfg.Random = ip.Publish(table), rand.New(rand.NewPCG(1, 8)).Uint64
	p.inbox = edge.InboxOf(p.in)
	p.icmpErrors = edge.New[ip.ICMPError](1, p.inbox)
	calls := edge.New[Call](1, p.inbox)
	p.sockets = NewSockets(calls.Out(), p.ended)
	go func() {
		tx := edge.To(p.out).Out()
		out, queue := ip.Edges{Loop: tx}, NewTransmitQueue(tx)
		go Transmit(queue, tx)
		Demux(p.inbox, p.icmpErrors.In(), calls.In(), out, []*TransmitQueue{queue}, out, []edge.Out[ip.Advice]{edge.To(p.advice).Out()}, cfg, &p.stats)
		close(p.ended)
	}()
	return p
}

// end shuts the stack down; what it says then is thrown away.
func (p *peer) end() {
	go func() {
		p.sockets.Shutdown()
		p.inbox.Close()
	}()
	for {
		select {
		case b := <-p.out:
			b.Release()
			continue
		case <-p.ended:
		}
		p.drain()
		return
	}
}

// send has a segment with relative numbers arrive, "S. 0:0(0) ack 1 win 100".
func (p *peer) send(text string) {
	p.t.Helper()
	s, err := tcptest.ParseSpec(text, p.irs, p.iss)
	if err != nil {
		p.t.Fatal(err)
	}
	data := tcptest.Piece(s.Seq.Sub(p.irs+1), s.Seq.Sub(p.irs+1)+s.Len, 0)
	defer data.Release()
	f := p.flow
	if s.Peer != 1 {
		f.Remote.Port += uint16(s.Peer - 1)
	}
	b := tcptest.Wire(s.Segment, ip.Flow{Local: f.Remote, Remote: f.Local}, data.Bytes())
	b.Arrived = time.Now()
	p.in <- b
	synctest.Wait()
}

// next is what the stack has sent, as soon as all is quiet; nil for nothing.
func (p *peer) next() *tcptest.WireSegment {
	p.t.Helper()
	synctest.Wait()
	select {
	case b := <-p.out:
		return decode(p.t, b)
	default:
		return nil
	}
}

// decode is the segment in b, an IP datagram that the stack has sent.
func decode(t *testing.T, b *packet.Buffer) *tcptest.WireSegment {
	t.Helper()
	defer b.Release()
	b.MarkNetwork()
	network := ipv4.Header(b.Bytes())
	h := segment.Header(b.Bytes()[network.Len():])
	f := ip.Flow{Local: ip.EndpointOf(network.Src(), h.SrcPort()), Remote: ip.EndpointOf(network.Dst(), h.DstPort())}
	b.Pull(network.Len())
	if b.SegmentSize == 0 {
		b.CompleteChecksum()
	}
	s, err := tcptest.ParseSegment(b)
	if err != nil {
		t.Fatal(err)
	}
	s.Text = nil
	return &tcptest.WireSegment{Segment: s, Flow: f, Data: append([]byte(nil), b.Bytes()...)}
}

// want fails unless the stack now sends the segment text, and says why it
// should have.
func (p *peer) want(why, text string) *tcptest.WireSegment {
	p.t.Helper()
	got := p.next()
	if got == nil {
		p.t.Fatalf("%s: want %s, nothing is sent", why, text)
	}
	if got.Has(segment.SYN) && !got.Has(segment.ACK) { // the stack dials
		p.flow, p.iss = got.Flow, got.Seq
	} else if got.Has(segment.SYN) {
		p.iss = got.Seq
	}
	want, err := tcptest.ParseSpec(text, p.iss, p.irs)
	if err != nil {
		p.t.Fatal(err)
	}
	if got.Flags != want.Flags || got.Seq != want.Seq || got.Len != want.Len || want.Has(segment.ACK) && got.Ack != want.Ack ||
		want.Win && got.Window != want.Window {
		p.t.Fatalf("%s: want %s, sent %v (ISS %d, IRS %d)", why, text, &got.Segment, p.iss, p.irs)
	}
	return got
}

// wantIdle fails if the stack sends something.
func (p *peer) wantIdle(why string) {
	p.t.Helper()
	if got := p.next(); got != nil {
		p.t.Fatalf("%s: sent %v", why, &got.Segment)
	}
}

// dialed is what Dial has returned.
type dialed struct {
	c   *Conn
	err error
}

// dial begins to connect to port 80 of the peer.
func (p *peer) dial(ctx context.Context) <-chan dialed {
	ch := make(chan dialed, 1)
	go func() {
		c, err := p.sockets.Dial(ctx, netip.AddrPort{}, netip.AddrPortFrom(tcptest.PeerAddr, 80))
		ch <- dialed{c, err}
	}()
	return ch
}

// connected is an established connection that the stack has dialled.
func (p *peer) connected() *Conn {
	p.t.Helper()
	ch := p.dial(context.Background())
	p.want("a SYN", "S 0:0(0)")
	p.send("S. 0:0(0) ack 1 win 60000 <mss 1000>")
	p.want("the third segment", ". 1:1(0) ack 1")
	d := <-ch
	if d.err != nil {
		p.t.Fatal(d.err)
	}
	return d.c
}

// listen listens on port 80.
func (p *peer) listen() *Listener {
	p.t.Helper()
	l, err := p.sockets.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), 80))
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

// accepted is an established connection that the peer has begun.
func (p *peer) accepted(l *Listener) *Conn {
	p.t.Helper()
	p.send("S 0:0(0) win 60000 <mss 1000>")
	p.want("the SYN is answered", "S. 0:0(0) ack 1")
	p.send(". 1:1(0) ack 1 win 60000")
	c, err := l.AcceptTCP()
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// async runs a call of the user that may block.
func async(f func() (int, error)) <-chan outcome {
	ch := make(chan outcome, 1)
	go func() {
		n, err := f()
		ch <- outcome{n, err}
	}()
	return ch
}

type outcome struct {
	n   int
	err error
}

// pendingCall fails when the call has returned.
func pendingCall(t *testing.T, why string, ch <-chan outcome) {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-ch:
		t.Fatalf("%s: returns %d, %v", why, o.n, o.err)
	default:
	}
}

package machine

import (
	"slices"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// ecnNode is a node with a connection that uses ECN.
func ecnNode(t *testing.T, controller string) *node {
	t.Helper()
	n := newNode(Config{ECN: ECNAsk, Congestion: controller, Controllers: tcptest.ControllersOfTests()}, tcptest.ISS)
	n.open()
	n.pump()
	n.advance(n.now.Add(100 * time.Millisecond))
	n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS, Ack: tcptest.ISS + 1, Flags: segment.SYN | segment.ACK | segment.ECE, Window: 65535, Opts: segment.Options{MSS: 1000}})
	n.pump()
	n.sent = nil
	if !n.t.ecn.sends || n.err != nil {
		t.Fatalf("no ECN: %v", n.err)
	}
	t.Cleanup(n.end)
	return n
}

// mark has n bytes arrive with a codepoint.
func (n *node) mark(length int, e ip.ECN) {
	n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.nxt, Flags: segment.ACK, Window: 65535,
		Len: length, Text: tcptest.Piece(0, length, 0), ECN: e})
}

// An echoed is an acknowledgement of so many bytes, with or without ECE.
type echoed struct {
	ack  int
	echo bool
}

// acks is what has been sent.
func (n *node) acks() (all []echoed) {
	for _, s := range n.sent {
		all = append(all, echoed{s.Ack.Sub(tcptest.IRS + 1), s.Has(segment.ECE)})
	}
	n.sent = nil
	return all
}

// TestPreciseEcho: RFC8257-3.2: the echo follows the marks; when they begin or
// end, what is owed for the text before goes out first, with the old echo.
func TestPreciseEcho(t *testing.T) {
	tcptest.LeakCheck(t)
	const none, marked = ip.ECT0, ip.CE
	for _, c := range []struct {
		name  string
		marks []ip.ECN // of texts of 100 bytes, each but the joined ones by itself
		join  bool     // all arrive before anything is sent
		want  []echoed
	}{
		{"no marks", []ip.ECN{none, none}, false, nil},
		{"a mark ends a delay", []ip.ECN{none, marked}, false, []echoed{{100, false}, {200, true}}},
		{"the first is marked", []ip.ECN{marked}, false, []echoed{{100, true}}},
		{"marks go on", []ip.ECN{marked, marked, marked}, false, []echoed{{100, true}}},
		{"marks end", []ip.ECN{marked, marked, none}, false, []echoed{{100, true}, {200, true}, {300, false}}},
		{"by turns", []ip.ECN{marked, none, marked}, false, []echoed{{100, true}, {200, false}, {300, true}}},
		{"together", []ip.ECN{none, none, marked, marked}, true, []echoed{{200, false}, {400, true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := ecnNode(t, "precise")
			for _, e := range c.marks {
				n.mark(100, e)
				if !c.join {
					n.pump()
				}
			}
			n.pump()
			if got := n.acks(); !slices.Equal(got, c.want) || n.err != nil {
				t.Errorf("sent %v, want %v; %v", got, c.want, n.err)
			}
		})
	}
}

// TestPreciseEchoAfterDelay: RFC8257-3.2: the delayed acknowledgement of marked
// text has ECE as well, and CWR does not end it.
func TestPreciseEchoAfterDelay(t *testing.T) {
	tcptest.LeakCheck(t)
	n := ecnNode(t, "precise")
	n.mark(100, ip.CE)
	n.pump()
	n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.nxt, Flags: segment.ACK | segment.CWR, Window: 65535,
		Len: 100, Text: tcptest.Piece(0, 100, 0), ECN: ip.CE})
	n.pump()
	n.advance(n.now.Add(time.Second))
	if got, want := n.acks(), []echoed{{100, true}, {200, true}}; !slices.Equal(got, want) || n.err != nil {
		t.Errorf("sent %v, want %v; %v", got, want, n.err)
	}
}

// TestPreciseAsks: RFC8257-3: a controller that lives on marks asks for them,
// unless that is forbidden.
func TestPreciseAsks(t *testing.T) {
	for mode, want := range map[ECNMode]bool{ECNAccept: true, ECNAsk: true, ECNOff: false} {
		n := newNode(Config{ECN: mode, Congestion: "precise", Controllers: tcptest.ControllersOfTests()}, tcptest.ISS)
		n.open()
		n.pump()
		if got := n.sent[0].AsksECN(); got != want {
			t.Errorf("mode %d: asks %v, want %v", mode, got, want)
		}
		n.end()
	}
}

// TestPriorAcknowledgement: an acknowledgement of less than has arrived leaves
// the rest owed.
func TestPriorAcknowledgement(t *testing.T) {
	tcptest.LeakCheck(t)
	n := ecnNode(t, "precise")
	n.mark(100, ip.ECT0)
	n.mark(100, ip.CE)
	s, _ := output(n.t, n.now)
	n.t.sent(n.now, &s)
	if n.t.ackPending != 100 || !n.t.ackNow || n.t.lastACK != tcptest.IRS+101 {
		t.Errorf("%d pending, at once %v, last %d", n.t.ackPending, n.t.ackNow, n.t.lastACK.Sub(tcptest.IRS))
	}
}

// TestNoWordAfterReset: RFC9293-3.10.7.4: a connection that the peer has reset
// says nothing more, not even what was about to go.
func TestNoWordAfterReset(t *testing.T) {
	tcptest.LeakCheck(t)
	n := ecnNode(t, "precise")
	n.mark(100, ip.ECT0)
	n.mark(100, ip.CE)
	n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Flags: segment.RST})
	n.pump()
	if got := n.acks(); len(got) > 0 || n.t.state != Closed {
		t.Errorf("sent %v in %v", got, n.t.state)
	}
}

// TestUntilIsNotLeftBehind: RFC3168-6.1.2: after 2^31 bytes without a mark an
// echo is heeded as before.
func TestUntilIsNotLeftBehind(t *testing.T) {
	n := ecnNode(t, "halving")
	for range 3 {
		if _, err := n.t.Write(n.now, make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		n.pump()
		n.advance(n.now.Add(10 * time.Millisecond))
		n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.nxt, Flags: segment.ACK, Window: 65535})
		n.pump()
	}
	if d := n.t.snd.una.Sub(n.t.ecn.until); d != 1 || n.err != nil {
		t.Errorf("until is %d behind SND.UNA: %v", d, n.err)
	}
}

// TestTrainWithCWR: RFC3168-6.1.2: CWR is on a train like on a segment; the
// link leaves it to the first. Stats and Info tell of it all.
func TestTrainWithCWR(t *testing.T) {
	n := ecnNode(t, "halving")
	if _, err := n.t.Write(n.now, make([]byte, 30000)); err != nil {
		t.Fatal(err)
	}
	n.pump()
	n.advance(n.now.Add(100 * time.Millisecond))
	n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.nxt, Flags: segment.ACK | segment.ECE, Window: 65535})
	n.sent = nil
	n.pump()
	if s := n.sent[0]; !s.Has(segment.CWR) || s.ECN != ip.ECT0 || s.Train != 1000 || s.Len < 2000 {
		t.Errorf("sent %v, %v, in segments of %d", &s.Segment, s.ECN, s.Train)
	}
	n.mark(500, ip.CE)
	i := n.t.Info()
	if !i.ECN || i.BytesDeliveredCE != 10000 || i.BytesReceivedCE != 500 {
		t.Errorf("info %+v", i)
	}
	s := &n.stats
	if s.ECNConnections.Load() != 1 || s.ECNReductions.Load() != 1 || s.InMarked.Load() != 1 {
		t.Errorf("%d connections, %d reductions, %d marked", s.ECNConnections.Load(), s.ECNReductions.Load(), s.InMarked.Load())
	}
}

// TestPairsECN: RFC3168-6.1: whatever is marked, lost and reordered on the way,
// all arrives; both ends use ECN, and a mark comes to the ears of the sender.
func TestPairsECN(t *testing.T) {
	tcptest.LeakCheck(t)
	runs := uint64(20)
	if testing.Short() {
		runs = 5
	}
	for seed := range runs {
		cfg := [2]Config{{ECN: ECNAsk, NoSACK: seed%3 == 0}, {}}
		p := newPair(seed, []float64{0, .02}[seed%2], [2]int{1500, 1500}, cfg, [2]int{200000, 100000})
		p.open(usual)
		p.marks = 0.1
		if err := p.run(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for i, e := range p.ends {
			marked, heard := p.ends[1-i].stats.InMarked.Load(), e.stats.ECNReductions.Load()
			if seed%2 > 0 {
				continue // a lost SYN is one without ECN, and a loss is heard of as well
			}
			if e.stats.ECNConnections.Load() == 0 {
				t.Errorf("seed %d: end %d does not use ECN", seed, i)
			}
			if marked == 0 || heard == 0 {
				t.Errorf("seed %d: end %d has heard of %d marks, there were %d", seed, i, heard, marked)
			}
		}
		p.end()
	}
}

// TestECNSegmentsDoNotAllocate: marks and echoes cost no memory.
func TestECNSegmentsDoNotAllocate(t *testing.T) {
	if packet.Checked {
		t.Skip("under -race, sync.Pool loses things on purpose")
	}
	n := ecnNode(t, "precise")
	e := ip.CE
	step := func() {
		n.mark(1000, e)
		e ^= ip.CE ^ ip.ECT0
		var s segment.Segment
		for n.t.output(n.now, &s) {
			n.t.sent(n.now, &s)
		}
		n.t.recvq.clearReady()
	}
	step()
	if allocs := testing.AllocsPerRun(100, step); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestMarkedBytes: RFC8257-3.3, RFC3168-6.1.2: the controller hears of each byte
// whether it met congestion, also of those that SACK tells of, and once a round
// trip that it is to reduce.
func TestMarkedBytes(t *testing.T) {
	n := newNode(Config{ECN: ECNAsk, Congestion: "precise", Controllers: tcptest.ControllersOfTests()}, tcptest.ISS)
	defer n.end()
	n.open()
	n.pump()
	n.advance(n.now.Add(100 * time.Millisecond))
	n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS, Ack: tcptest.ISS + 1, Flags: segment.SYN | segment.ACK | segment.ECE, Window: 65535,
		Opts: segment.Options{MSS: 1000, SackPermitted: true}})
	if _, err := n.t.Write(n.now, make([]byte, 10000)); err != nil {
		t.Fatal(err)
	}
	n.pump()
	n.advance(n.now.Add(100 * time.Millisecond))
	cc := n.t.cc.(*tcptest.Precise)
	cc.Delivered = 0 // the SYN
	base := tcptest.ISS + 1
	for _, a := range []struct {
		ack           int
		echo          bool
		sack          segment.Block // 0:0 for none
		ce, delivered int
	}{
		{1000, false, segment.Block{}, 0, 1000},
		{3000, true, segment.Block{}, 2000, 3000},
		{3000, true, segment.Block{Left: base + 4000, Right: base + 5000}, 3000, 4000},
		{5000, false, segment.Block{}, 3000, 5000},
		{7000, true, segment.Block{}, 5000, 7000},
	} {
		s := segment.Segment{Seq: tcptest.IRS + 1, Ack: base.Add(a.ack), Flags: segment.ACK, Window: 65535}
		if a.echo {
			s.Flags |= segment.ECE
		}
		if a.sack != (segment.Block{}) {
			s.Opts.SACKs, s.Opts.SACK[0] = 1, a.sack
		}
		n.arrives(n.flow, s)
		if cc.Ce != a.ce || cc.Delivered != a.delivered || n.t.Info().BytesDeliveredCE != uint64(a.ce) {
			t.Errorf("ACK %d: %d of %d bytes met congestion, want %d of %d", a.ack, cc.Ce, cc.Delivered, a.ce, a.delivered)
		}
	}
	if r := n.stats.ECNReductions.Load(); r != 1 || n.err != nil {
		t.Errorf("%d reductions in a round trip: %v", r, n.err)
	}
}

package machine

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestPeerMSS: whatever MSS a peer gives, with whatever options and SACK blocks
// beside it, segments have text, and not more than 128 go out as one train.
func TestPeerMSS(t *testing.T) {
	for _, mss := range []uint16{0, 1, 7, 8, 47, 48, 100, 536, 1460, 9000, 65535} {
		for sacks := range segment.MaxSACK {
			for _, timestamps := range []bool{false, true} {
				for _, route := range []int{0, 4, 9} {
					n := established(t, Config{}, segment.Options{MSS: mss, SackPermitted: true, HasTimestamps: timestamps}, 65535)
					n.t.route = &segment.SourceRoute{Option: make([]byte, 4*route)}
					n.t.updateMSS()
					for i := range sacks {
						n.t.recvq.addBlock(n.t.rcv.nxt.Add(10+20*i), n.t.rcv.nxt.Add(20+20*i))
					}
					var s segment.Segment
					if _, err := n.t.Write(n.now, make([]byte, 60000)); err != nil || !n.t.output(n.now, &s) {
						t.Fatalf("MSS %d: nothing is sent: %v", mss, err)
					}
					cut := n.t.cutAt(&s)
					if cut == 0 {
						cut = s.Len
					}
					if cut < minText || s.Len > maxTrainSegments*n.t.snd.mss {
						t.Errorf("MSS %d, %d SACK blocks, timestamps %v, %d gateways: %d bytes in segments of %d", mss, sacks, timestamps, route, s.Len, cut)
					}
					if least := minMSS - 12 - 4*route; mss > 0 && n.t.snd.mss < least {
						t.Errorf("MSS %d: segments of %d", mss, n.t.snd.mss)
					}
				}
			}
		}
	}
}

// TestPeerScale: RFC7323-2.3: whatever shift a peer gives, the window is at most a
// GiB, and what we send keeps to it.
func TestPeerScale(t *testing.T) {
	for _, scale := range []byte{0, 1, 13, 14, 15, 31, 32, 63, 64, 255} {
		o := segment.ParseOptions([]byte{segment.OptWindowScale, 3, scale})
		n := established(t, Config{}, o, 65535)
		n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.una, Flags: segment.ACK, Window: 65535})
		if n.t.snd.wnd < 65535 || n.t.snd.wnd > maxReceiveWindow {
			t.Errorf("shift %d: a window of %d", scale, n.t.snd.wnd)
		}
	}
}

// TestPeerWindow: a window of any size that changes with each acknowledgement has
// nothing sent beyond it, and a tiny one no more than a segment for each
// acknowledgement and timer.
func TestPeerWindow(t *testing.T) {
	for _, window := range []uint16{0, 1, 2, 7, 100, 1459, 1460, 65535} {
		n := established(t, Config{NoTimestamps: true}, segment.Options{MSS: 1460}, window)
		if _, err := n.t.Write(n.now, make([]byte, 50_000)); err != nil {
			t.Fatal(err)
		}
		edge, segments := n.t.snd.una.Add(int(window)), 0
		for range 20 {
			n.pump()
			for _, s := range n.sent {
				if over := s.End().Sub(edge); over > 0 && !(window == 0 && s.Len == 1) {
					t.Errorf("window %d: %v is %d bytes beyond it", window, &s.Segment, over)
				}
				segments++
			}
			n.sent = nil
			n.advance(n.now.Add(10 * time.Millisecond))
			n.answers(n.t.snd.una, window)
		}
		if n.err != nil || window < 100 && segments > 20 {
			t.Errorf("window %d: %d segments for 20 acknowledgements: %v", window, segments, n.err)
		}
	}
}

// TestPeerEcho: whatever timestamp a peer echoes, and however soon it acknowledges,
// a round trip is a nanosecond at least, and a minute at most, and so is the timeout
// between Config.MinRTO and a minute.
func TestPeerEcho(t *testing.T) {
	for _, echo := range []uint32{0, 1, 2, 1 << 10, 1 << 30, 1 << 31, math.MaxUint32 - 1, math.MaxUint32} {
		for _, wait := range []time.Duration{0, 1, time.Millisecond, time.Second, 5 * time.Minute} {
			n := established(t, Config{}, segment.Options{MSS: 1460, HasTimestamps: true}, 65535)
			for again := range 3 {
				if _, err := n.t.Write(n.now, []byte{1}); err != nil {
					t.Fatal(err)
				}
				n.pump()
				n.now = n.now.Add(wait)
				if again > 0 {
					n.t.Expire(n.now)
					n.pump()
				}
				s := segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.nxt, Flags: segment.ACK, Window: 65535}
				s.Opts = segment.Options{HasTimestamps: true, TSVal: n.t.tsRecent, TSEcr: n.t.timestamp(n.now) - echo}
				n.arrives(n.flow, s)
			}
			r := &n.t.rtt
			if r.srtt < 0 || r.min <= 0 || r.min > maxRTO+5*time.Minute || r.rto() < n.cfg.MinRTO || r.rto() > maxRTO {
				t.Errorf("echo of %d ms ago, after %v: round trip %v, at least %v, timeout %v", echo, wait, r.srtt, r.min, r.rto())
			}
		}
	}
}

// TestNextHopMTU: RFC1191-3: whatever MTU a router names, and about whatever
// segment, datagrams are between minPMTU and the MTU of the link.
func TestNextHopMTU(t *testing.T) {
	for _, mtu := range []int{0, 1, 67, 68, 296, minPMTU - 1, minPMTU, 1000, 1499, 1500, 1501, 9000, 65535} {
		for _, about := range []int{-1, 0, 1} {
			n := established(t, Config{}, segment.Options{MSS: 1460}, 65535)
			if _, err := n.t.Write(n.now, make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
			n.pump()
			r := ip.ICMPError{Type: ip.TypeUnreachable, Code: ip.CodeFragmentationNeeded, MTU: mtu}
			binary.BigEndian.PutUint32(r.Transport[4:], uint32(n.t.snd.una.Add(about)))
			n.t.IcmpError(n.now, r)
			n.pump()
			if got := n.t.path.mtu; got < minPMTU || got > 1500 || n.err != nil {
				t.Errorf("a next hop of %d, about byte %d: datagrams of %d: %v", mtu, about, got, n.err)
			}
		}
	}
}

// TestUrgentPointer: MUST-62: an urgent pointer to anywhere has nothing sent, kept
// or read out of order.
func TestUrgentPointer(t *testing.T) {
	for _, urgent := range []uint16{0, 1, 99, 100, 101, 32767, 32768, 65535} {
		n := established(t, Config{}, segment.Options{MSS: 1460}, 65535)
		n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.nxt, Flags: segment.ACK | segment.URG, Urgent: urgent, Window: 65535, Text: tcptest.Piece(0, 100, 100), Len: 100})
		n.pump()
		if got, err := n.t.Read(make([]byte, 200)); got != 100 || err != nil || n.err != nil {
			t.Errorf("urgent %d: %d bytes, %v, %v", urgent, got, err, n.err)
		}
		if u := n.t.Info().Urgent; u < 0 || u > math.MaxUint16 {
			t.Errorf("urgent %d: %d more", urgent, u)
		}
	}
}

// TestSACKBlocksAnywhere: blocks of any place and length, one within another or the
// wrong way round, leave the scoreboard whole, and nothing is taken for arrived that
// was never sent.
func TestSACKBlocksAnywhere(t *testing.T) {
	n := inFlight(t, "rack", 100*1460)
	places := []int{math.MinInt32, -1 << 30, -1460, -1, 0, 1, 1459, 1460, 50 * 1460, 100*1460 - 1, 100 * 1460, 100*1460 + 1, 1 << 30, math.MaxInt32}
	for _, a := range places {
		for _, b := range places {
			for _, c := range places {
				n.sacks(0, [2]int{a, b}, [2]int{c, a}, [2]int{b, c})
				if err := checkBoard(&n.t.board, n.t.snd.una, n.t.snd.nxt); err != nil || n.t.board.sacked > n.t.board.total {
					t.Fatal(fmt.Sprint(a, " ", b, " ", c), err)
				}
			}
		}
	}
}

// BenchmarkAhead is what a segment of a byte costs that comes ahead of a hole, with
// as many there as the queue takes, at random places.
func BenchmarkAhead(b *testing.B) {
	var q recvQueue
	q.limit = 6 << 20
	most := q.mostAhead()
	fill := func() {
		q.clear()
		for i := range most - 1 {
			q.insert(0, segment.Seq(2+4*i), tcptest.Piece(0, 1, 1))
		}
	}
	fill()
	for i := 0; b.Loop(); i++ {
		q.insert(0, segment.Seq(4+4*(i*7919%(most-1))), tcptest.Piece(0, 1, 1))
		if len(q.ahead) == most {
			b.StopTimer()
			c := q.ahead[len(q.ahead)/2]
			q.ahead = append(q.ahead[:len(q.ahead)/2], q.ahead[len(q.ahead)/2+1:]...)
			q.drop(c)
			b.StartTimer()
		}
	}
	q.clear()
}

package machine

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A stubborn peer answers what a connection sends such that it never gets rid of
// what it has to say.
type stubborn func(n *node, s *tcptest.WireSegment)

// answers has the peer acknowledge all up to ack, and say how much more it takes.
func (n *node) answers(ack segment.Seq, window uint16) {
	n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: ack, Flags: segment.ACK, Window: window})
}

var stubbornPeers = map[string]stubborn{
	"silent": func(*node, *tcptest.WireSegment) {},
	"window 0": func(n *node, s *tcptest.WireSegment) {
		n.answers(n.t.snd.una, 0)
	},
	"a byte at a time": func(n *node, s *tcptest.WireSegment) {
		if s.Len > 0 {
			n.answers(n.t.snd.una+1, 1)
		}
	},
	"all but the FIN": func(n *node, s *tcptest.WireSegment) {
		n.answers(segment.Later(n.t.snd.una, s.TextSeq().Add(s.Len)), 65535)
	},
	"all, and no FIN": func(n *node, s *tcptest.WireSegment) {
		n.answers(segment.Later(n.t.snd.una, s.End()), 65535)
	},
	"alive, and takes nothing": func(n *node, s *tcptest.WireSegment) {
		for range 3 {
			n.now = n.now.Add(time.Second)
			n.answers(n.t.snd.una, 0)
		}
	},
}

// openStates brings a connection to each state in which a user may close it.
var openStates = map[State]func(n *node){
	SynSent: func(n *node) { n.open(); n.pump() },
	SynReceived: func(n *node) { // a simultaneous open
		n.open()
		n.pump()
		n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS, Flags: segment.SYN, Window: 1000})
		n.pump()
	},
	Established: func(*node) {},
	CloseWait:   func(n *node) { n.peerCloses() },
	FinWait1:    func(n *node) { n.t.CloseWrite(n.now); n.pump() },
	FinWait2: func(n *node) {
		n.t.CloseWrite(n.now)
		n.pump()
		n.answers(n.t.snd.nxt, 65535)
	},
	Closing: func(n *node) { n.t.CloseWrite(n.now); n.pump(); n.peerCloses() },
	LastAck: func(n *node) { n.peerCloses(); n.t.CloseWrite(n.now); n.pump() },
}

func (n *node) peerCloses() {
	n.arrives(n.flow, segment.Segment{Seq: n.t.rcv.nxt, Ack: n.t.snd.una, Flags: segment.ACK | segment.FIN, Window: 65535})
	n.pump()
}

// closings is the orders in which a user may close.
var closings = map[string]func(n *node){
	"Close":                        func(n *node) { n.t.Close(n.now) },
	"Close twice":                  func(n *node) { n.t.Close(n.now); n.t.Close(n.now) },
	"CloseRead, Close":             func(n *node) { n.t.CloseRead(); n.t.Close(n.now) },
	"CloseWrite, Close":            func(n *node) { n.t.CloseWrite(n.now); n.pump(); n.t.Close(n.now) },
	"CloseRead, CloseWrite, Close": func(n *node) { n.t.CloseRead(); n.t.CloseWrite(n.now); n.pump(); n.t.Close(n.now) },
}

// TestOrphansEnd: RFC9293-3.8.6.1, RFC1122-4.2.2.13: whatever
// state a connection is in when its user closes it, with text to deliver or
// without, and whatever its peer does, it ends in time, and nothing of it is left.
func TestOrphansEnd(t *testing.T) {
	const text = 100_000
	for state, open := range openStates {
		for order, closes := range closings {
			for kind, peer := range stubbornPeers {
				for _, n := range []int{0, text} {
					name := fmt.Sprintf("%v, %d bytes, %s, peer %s", state, n, order, kind)
					if err := endsInTime(state, open, closes, peer, n); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		}
	}
}

// endsInTime is one case of TestOrphansEnd.
func endsInTime(state State, open, closes func(n *node), peer stubborn, text int) error {
	live := packet.Live()
	n := newNode(Config{NoTimestamps: true}, tcptest.ISS)
	if state != SynSent && state != SynReceived {
		n.open()
		n.pump()
		n.arrives(n.flow, segment.Segment{Seq: tcptest.IRS, Ack: tcptest.ISS + 1, Flags: segment.SYN | segment.ACK, Window: 10000, Opts: segment.Options{MSS: 1460}})
		n.pump()
		if text > 0 {
			n.t.Write(n.now, make([]byte, text)[:min(text, n.t.sendq.room())])
			n.pumpUnchecked()
		}
	}
	open(n)
	if n.t.state != state && !(state == FinWait2 && text > 0) {
		return fmt.Errorf("it is in %v", n.t.state)
	}
	n.sent = nil
	closes(n)
	closed := n.now
	for !n.departed() && n.now.Sub(closed) < 2*time.Hour {
		n.pumpUnchecked()
		sent := n.sent
		n.sent = nil
		n.now = n.now.Add(10 * time.Millisecond)
		for i := range sent {
			if !n.departed() && !sent[i].Has(segment.RST) {
				peer(n, &sent[i])
			}
		}
		d := n.t.Deadline()
		switch {
		case n.departed():
			continue
		case d.IsZero() && len(sent) == 0:
			return fmt.Errorf("in %v without a timer", n.t.state)
		case len(sent) == 0:
			n.now = latest(n.now, d)
		}
		if Due(d, n.now) {
			n.t.Expire(n.now)
		}
	}
	// The time of an orphan, and what a byte now and then prolongs it by.
	most := n.cfg.OrphanTimeout*time.Duration(1+text/orphanProgress) + n.cfg.FinWait2 + time.Minute
	if took := n.now.Sub(closed); !n.departed() || took > most {
		return fmt.Errorf("after %v in %v", took, n.t.state)
	}
	n.t.stopTimers()
	n.end()
	if n.stats.Orphans.Load() != 0 || n.stats.Buffered.Load() != 0 || packet.Live() != live {
		return fmt.Errorf("%d orphans, %d bytes, %d packets are left", n.stats.Orphans.Load(), n.stats.Buffered.Load(), packet.Live()-live)
	}
	return nil
}

// orphans is n connections with text for a peer whose window is closed, which
// their users have closed.
func orphans(t *testing.T, cfg Config, stats *Stats, count int) (all []*node) {
	for range count {
		n := established(t, cfg, segment.Options{MSS: 1460}, 0)
		n.t.stats = stats
		if _, err := n.t.Write(n.now, make([]byte, 10000)); err != nil {
			t.Fatal(err)
		}
		n.pump()
		n.t.Close(n.now)
		n.pump()
		all = append(all, n)
	}
	return all
}

// ended is how many of the connections have.
func ended(all []*node) (count int) {
	for _, n := range all {
		if n.departed() {
			count++
		}
	}
	return count
}

// TestOrphansBounded: there are never more orphans than Config.MaxOrphans: the
// next one gets no time to deliver; and beyond half of that those leave whose peer
// takes nothing.
func TestOrphansBounded(t *testing.T) {
	var stats Stats
	const most = 8
	all := orphans(t, Config{MaxOrphans: most}, &stats, 2*most)
	if got := stats.Orphans.Load(); got != most || ended(all[most:]) != most || stats.OrphansEvicted.Load() != most {
		t.Errorf("%d orphans, %d of the last have ended, %d evicted", got, ended(all[most:]), stats.OrphansEvicted.Load())
	}
	for _, n := range all[:most] {
		for range 3 {
			n.advance(n.now.Add(10 * time.Second))
			if !n.departed() {
				n.answers(n.t.snd.una, 0)
				n.pump()
			}
		}
	}
	if got := stats.Orphans.Load(); got != most/2 {
		t.Errorf("%d orphans whose peer takes nothing, want half of the bound", got)
	}
}

// TestOrphansGoFirst: when all connections together hold too much, orphans leave
// whose peer takes nothing, and connections of users do not.
func TestOrphansGoFirst(t *testing.T) {
	var stats Stats
	cfg := Config{MaxMemory: 100_000}
	all := orphans(t, cfg, &stats, 3)
	user := established(t, cfg, segment.Options{MSS: 1460}, 0)
	user.t.stats = &stats
	if _, err := user.t.Write(user.now, make([]byte, 16000)); err != nil {
		t.Fatal(err)
	}
	user.pump()
	wait := func() {
		for _, n := range append(all, user) {
			for range 3 {
				n.advance(n.now.Add(10 * time.Second))
				if !n.departed() {
					n.answers(n.t.snd.una, 0)
					n.pump()
				}
			}
		}
	}
	if wait(); ended(all) != 0 {
		t.Fatalf("%d orphans have ended, with room for all", ended(all))
	}
	stats.Buffered.Add(100_000) // of others
	if wait(); ended(all) != 3 || user.departed() || stats.OrphansEvicted.Load() != 3 {
		t.Errorf("%d orphans have ended, the user's has: %v; %d evicted", ended(all), user.departed(), stats.OrphansEvicted.Load())
	}
	stats.Buffered.Add(^uint64(100_000 - 1))
}

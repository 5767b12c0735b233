package tcp

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// A stubborn peer answers what a connection sends such that it never gets rid of
// what it has to say.
type stubborn func(n *node, s *wireSegment)

// answers has the peer acknowledge all up to ack, and say how much more it takes.
func (n *node) answers(ack seq, window uint16) {
	n.arrives(n.flow, segment{seq: n.t.rcv.nxt, ack: ack, flags: ACK, window: window})
}

var stubbornPeers = map[string]stubborn{
	"silent": func(*node, *wireSegment) {},
	"window 0": func(n *node, s *wireSegment) {
		n.answers(n.t.snd.una, 0)
	},
	"a byte at a time": func(n *node, s *wireSegment) {
		if s.len > 0 {
			n.answers(n.t.snd.una+1, 1)
		}
	},
	"all but the FIN": func(n *node, s *wireSegment) {
		n.answers(later(n.t.snd.una, s.textSeq().add(s.len)), 65535)
	},
	"all, and no FIN": func(n *node, s *wireSegment) {
		n.answers(later(n.t.snd.una, s.end()), 65535)
	},
	"alive, and takes nothing": func(n *node, s *wireSegment) {
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
		n.arrives(n.flow, segment{seq: testIRS, flags: SYN, window: 1000})
		n.pump()
	},
	Established: func(*node) {},
	CloseWait:   func(n *node) { n.peerCloses() },
	FinWait1:    func(n *node) { n.t.closeWrite(n.now); n.pump() },
	FinWait2: func(n *node) {
		n.t.closeWrite(n.now)
		n.pump()
		n.answers(n.t.snd.nxt, 65535)
	},
	Closing: func(n *node) { n.t.closeWrite(n.now); n.pump(); n.peerCloses() },
	LastAck: func(n *node) { n.peerCloses(); n.t.closeWrite(n.now); n.pump() },
}

func (n *node) peerCloses() {
	n.arrives(n.flow, segment{seq: n.t.rcv.nxt, ack: n.t.snd.una, flags: ACK | FIN, window: 65535})
	n.pump()
}

// closings is the orders in which a user may close.
var closings = map[string]func(n *node){
	"Close":                        func(n *node) { n.t.close(n.now) },
	"Close twice":                  func(n *node) { n.t.close(n.now); n.t.close(n.now) },
	"CloseRead, Close":             func(n *node) { n.t.closeRead(); n.t.close(n.now) },
	"CloseWrite, Close":            func(n *node) { n.t.closeWrite(n.now); n.pump(); n.t.close(n.now) },
	"CloseRead, CloseWrite, Close": func(n *node) { n.t.closeRead(); n.t.closeWrite(n.now); n.pump(); n.t.close(n.now) },
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
	n := newNode(Config{NoTimestamps: true}, testISS)
	if state != SynSent && state != SynReceived {
		n.open()
		n.pump()
		n.arrives(n.flow, segment{seq: testIRS, ack: testISS + 1, flags: SYN | ACK, window: 10000, opts: options{mss: 1460}})
		n.pump()
		if text > 0 {
			n.t.write(n.now, make([]byte, text)[:min(text, n.t.sendq.room())])
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
			if !n.departed() && !sent[i].has(RST) {
				peer(n, &sent[i])
			}
		}
		d := n.t.deadline()
		switch {
		case n.departed():
			continue
		case d.IsZero() && len(sent) == 0:
			return fmt.Errorf("in %v without a timer", n.t.state)
		case len(sent) == 0:
			n.now = latest(n.now, d)
		}
		if due(d, n.now) {
			n.t.expire(n.now)
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
		n := established(t, cfg, options{mss: 1460}, 0)
		n.t.stats = stats
		if _, err := n.t.write(n.now, make([]byte, 10000)); err != nil {
			t.Fatal(err)
		}
		n.pump()
		n.t.close(n.now)
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
	user := established(t, cfg, options{mss: 1460}, 0)
	user.t.stats = &stats
	if _, err := user.t.write(user.now, make([]byte, 16000)); err != nil {
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

// TestUnacceptedGo: when connections that nobody has accepted make that too much
// is held, they are reset, the oldest first.
func TestUnacceptedGo(t *testing.T) {
	const most = 30_000
	withPeer(t, Config{MaxMemory: most}, func(p *peer) {
		l := p.listen()
		defer l.Close()
		resets := 0
		count := func() {
			for s := p.next(); s != nil; s = p.next() {
				if s.has(RST) {
					resets++
				}
			}
		}
		for i := 1; i <= 8; i++ {
			who := fmt.Sprintf("[peer %d] ", i)
			p.send(who + "S 0:0(0) win 60000 <mss 1000>")
			if s := p.next(); s == nil || !s.has(SYN|ACK) {
				t.Fatalf("peer %d: %v", i, s)
			} else {
				p.iss = s.seq
			}
			p.send(who + ". 1:1(0) ack 1 win 60000")
			for k := range 8 {
				p.send(fmt.Sprintf("%s. %d:%d(1000) ack 1 win 60000", who, 1+1000*k, 1001+1000*k))
			}
			count()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		count()
		if evicted := p.stats.UnacceptedEvicted.Load(); evicted == 0 || resets != int(evicted) || p.stats.Buffered.Load() > most+8000 {
			t.Errorf("%d evicted, %d resets, %d bytes are held", evicted, resets, p.stats.Buffered.Load())
		}
		c, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		if c.RemoteAddr().String() == "10.0.0.2:40001" {
			t.Error("the oldest is still there")
		}
		c.Close()
	})
}

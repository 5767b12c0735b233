package machine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/noninterference"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Hosts of a crowd: one with a secret, the observer, and from there on others.
const (
	secretHost = 65
	observer   = 66
	otherHosts = 70
)

var observed = netip.AddrFrom4([4]byte{10, 0, 0, observer})

// wantSecret fails t when the observer sees a difference.
func wantSecret(t *testing.T, why string, seeds uint64, w noninterference.World) {
	t.Helper()
	if err := noninterference.Equal(seeds, w); err != nil {
		t.Errorf("%s: %v", why, err)
	}
}

// wantSeen fails t when he sees none: doc/limits.md says that he does.
func wantSeen(t *testing.T, why string, seeds uint64, w noninterference.World) {
	t.Helper()
	if noninterference.Equal(seeds, w) == nil {
		t.Errorf("%s: the observer does not see it", why)
	}
}

// guessed is the port that somebody guesses the host with the secret to have; its
// connection has it, or another one.
const guessed = 40000

func portOf(secret bool) uint16 {
	if secret {
		return guessed
	}
	return guessed + 7
}

// TestAcceptQueueTellsNothing: whether the queue has room tells how many wait in
// it, and not who: neither by itself nor by what is forged in the name of one.
func TestAcceptQueueTellsNothing(t *testing.T) {
	const queue = 8
	play := func(hosts func(i int) (host byte, port uint16), waiting int, seed uint64) string {
		c := newCrowd(Config{}, seed)
		c.serve(ShareNone, queue, quiet)
		for i := range waiting {
			host, port := hosts(i)
			if !c.end(host, port).connect() {
				panic("no room")
			}
			c.pass(time.Duration(c.schedule.IntN(1000)) * time.Millisecond)
		}
		victim := c.end(secretHost, guessed)
		c.forgeries(victim)
		for i := range uint16(queue) {
			c.end(observer, 50000+i).connect()
			c.pass(time.Duration(c.schedule.IntN(1000)) * time.Millisecond)
		}
		c.forgeries(victim)
		c.end(observer, 51000).connect()
		c.pass(10 * time.Second)
		c.Close(c.now)
		return c.view(observed).String()
	}
	wantSecret(t, "who waits", 60, func(secret bool, seed uint64) string {
		return play(func(i int) (byte, uint16) {
			if i > 0 && secret {
				return byte(otherHosts + i), 3000
			}
			return secretHost, portOf(secret) + uint16(i)
		}, 1+int(seed%queue), seed)
	})
	wantSeen(t, "how many wait", 1, func(secret bool, seed uint64) string {
		n := 3
		if secret {
			n = 4
		}
		return play(func(i int) (byte, uint16) { return otherHosts, uint16(3000 + i) }, n, seed)
	})
}

// TestTimeWaitsTellNothing: somebody who looks which of his own connections are
// still in TIME-WAIT learns nothing of the ports of others: not by a SYN in their
// name either, which takes the place of one in TIME-WAIT if there is any. With the
// places of such free at once, this fails.
func TestTimeWaitsTellNothing(t *testing.T) {
	const limit = 12
	play := func(port uint16, others int, seed uint64) string {
		c := newCrowd(Config{TimeWaits: limit}, seed)
		c.serve(ShareNone, 1000, closing)
		var own []*remoteEnd
		finished := func(e *remoteEnd) *remoteEnd {
			e.connect()
			e.finish()
			c.pass(time.Duration(1+c.schedule.IntN(100)) * time.Millisecond)
			return e
		}
		has := c.schedule.IntN(limit) // when the one with the secret comes
		for i := range limit + c.schedule.IntN(3) - 1 {
			if i == has {
				finished(c.end(secretHost, port))
			}
			own = append(own, finished(c.end(observer, uint16(50000+i))))
		}
		victim := c.end(secretHost, guessed)
		victim.nxt += 1 << 30
		c.forgeries(victim)
		for i := range others {
			finished(c.end(otherHosts, uint16(3000+i)))
		}
		for i := range c.schedule.IntN(4) {
			own = append(own, finished(c.end(observer, uint16(51000+i))))
		}
		for range 3 {
			for _, e := range own {
				e.send(segment.Segment{Seq: 1 << 20, Flags: segment.ACK})
			}
			c.pass(25 * time.Second)
		}
		c.Close(c.now)
		return c.view(observed).String()
	}
	wantSecret(t, "the port of another", 60, func(secret bool, seed uint64) string { return play(portOf(secret), 0, seed) })
	wantSeen(t, "how many others end", 20, func(secret bool, seed uint64) string {
		if secret {
			return play(1, 5, seed)
		}
		return play(1, 0, seed)
	})
}

// TestFastOpensTellNothing: whether a SYN's text is taken tells how many others
// wait by Fast Open, and not who; and how long a cookie is good does not depend on
// who else has asked for one. With a key that is renewed when somebody asks, the
// second fails.
func TestFastOpensTellNothing(t *testing.T) {
	const limit = 6
	cookieOf := func(c *crowd, e *remoteEnd) segment.Cookie {
		e.send(segment.Segment{Flags: segment.SYN, Opts: segment.Options{MSS: 1460, FastOpen: segment.Cookie{Present: true}}})
		given := c.giveCookie(c.now, e.flow)
		c.arrives(e.flow, segment.Segment{Seq: e.nxt + 1, Flags: segment.RST})
		return given
	}
	open := func(e *remoteEnd, with segment.Cookie) {
		e.send(segment.Segment{Flags: segment.SYN, Len: 10, Opts: segment.Options{MSS: 1460, FastOpen: with}})
	}
	play := func(hosts func(i int) (host byte, port uint16), waiting int, seed uint64) string {
		c := newCrowd(Config{}, seed)
		c.serve(ShareNone, 1000, quiet).FastOpenLimit = limit
		own := cookieOf(c, c.end(observer, 49999))
		for i := range waiting {
			host, port := hosts(i)
			open(c.end(host, port), cookieOf(c, c.end(host, port+1000)))
		}
		victim := c.end(secretHost, guessed)
		for i := range uint64(30) {
			guess := segment.Cookie{Present: true, Len: 8}
			binary.BigEndian.PutUint64(guess.Value[:], c.schedule.Uint64()>>i)
			open(victim, guess)
			open(victim, own)
		}
		c.forgeries(victim)
		for i := range uint16(limit) {
			open(c.end(observer, 50000+i), own)
			c.pass(time.Duration(c.schedule.IntN(500)) * time.Millisecond)
		}
		c.Close(c.now)
		return c.view(observed).String()
	}
	wantSecret(t, "who waits", 24, func(secret bool, seed uint64) string {
		return play(func(i int) (byte, uint16) {
			if i > 0 && secret {
				return byte(otherHosts + i), 3000
			}
			return secretHost, portOf(secret) + uint16(10*i)
		}, int(1+seed%limit), seed)
	})
	wantSeen(t, "how many wait", 1, func(secret bool, seed uint64) string {
		n := 3
		if secret {
			n = 4
		}
		return play(func(i int) (byte, uint16) { return byte(otherHosts + i), 3000 }, n, seed)
	})
	wantSecret(t, "who has asked for a cookie", 50, func(secret bool, seed uint64) string {
		c := newCrowd(Config{}, seed)
		c.serve(ShareNone, 1000, quiet).FastOpenLimit = 1000
		c.pass(time.Duration(c.schedule.IntN(7200)) * time.Second)
		own := cookieOf(c, c.end(observer, 49999))
		for i := range uint16(5) {
			c.pass(time.Duration(c.schedule.IntN(2500)) * time.Second)
			if secret {
				cookieOf(c, c.end(secretHost, 3000+i))
			}
			c.pass(time.Duration(c.schedule.IntN(2500)) * time.Second)
			open(c.end(observer, 50000+i), own)
		}
		c.Close(c.now)
		return c.view(observed).String()
	})
}

// TestChallengesTellNothing: RFC5961-7: whatever is forged in the name of another,
// and whatever that has, the observer has his challenges and acknowledgements at
// the same instants: in each state in which such segments are answered.
func TestChallengesTellNothing(t *testing.T) {
	for name, build := range map[string]func(e *remoteEnd){
		"half-open": func(e *remoteEnd) {
			e.send(segment.Segment{Flags: segment.SYN, Opts: segment.Options{MSS: 1460}})
			e.nxt++
		},
		"established": func(e *remoteEnd) { e.connect() },
		"close-wait":  func(e *remoteEnd) { e.connect(); e.finish() },
		"time-wait":   func(e *remoteEnd) { e.connect(); e.finish(); e.nxt-- },
	} {
		serve := quiet
		if name == "time-wait" {
			serve = closing
		}
		wantSecret(t, name, 15, func(secret bool, seed uint64) string {
			c := newCrowd(Config{}, seed)
			c.serve(ShareNone, 1000, serve)
			victim := c.end(secretHost, guessed)
			actual := c.end(secretHost, portOf(secret))
			build(actual)
			if secret {
				victim = actual
			}
			own := c.end(observer, 50000)
			build(own)
			for range 30 {
				for range c.schedule.IntN(20) { // of which some are in the window, and some are not
					c.arrives(victim.flow, segment.Segment{
						Seq: victim.nxt + segment.Seq(c.schedule.Uint32N(1<<17)), Ack: victim.rcv + segment.Seq(c.schedule.Uint32N(3)) - 1,
						Flags: []segment.Flags{segment.SYN, segment.RST, segment.ACK, segment.SYN | segment.ACK}[c.schedule.IntN(4)], Window: 1000,
					})
				}
				own.send(segment.Segment{Seq: segment.Seq(1 + c.schedule.Uint32N(1<<17)), Flags: []segment.Flags{segment.SYN, segment.RST, segment.ACK}[c.schedule.IntN(3)]})
				c.pass(time.Duration(c.schedule.IntN(300)) * time.Millisecond)
			}
			c.Close(c.now)
			return c.view(observed).String()
		})
	}
}

// TestListenersTellNothing: a peer that can tell listeners apart which share an
// address learns nothing of others by ShareByHash, and by ShareByTurn how many
// have connected since, but for the turns, and not who. Nothing that is forged
// takes a turn.
func TestListenersTellNothing(t *testing.T) {
	play := func(share Share, others, forged int, hosts func(i int) (byte, uint16), seed uint64) string {
		c := newCrowd(Config{}, seed)
		for i := range 3 { // each says another number of bytes
			said := map[*Stream]bool{}
			c.serve(share, 1000, func(s *Stream) bool {
				if !said[s] {
					said[s] = true
					if _, err := s.Write(make([]byte, 10+i)); err != nil {
						panic(err)
					}
				}
				return false
			})
		}
		for i := range 20 {
			c.end(observer, uint16(50000+i)).connect()
			if i < others {
				c.end(hosts(i)).connect()
			}
			if i < forged {
				c.forgeries(c.end(otherHosts+40, uint16(i)))
			}
		}
		c.Close(c.now)
		return c.view(observed).String()
	}
	same := func(i int) (byte, uint16) { return secretHost, uint16(3000 + i) }
	various := func(i int) (byte, uint16) { return byte(otherHosts + i), uint16(4000 - 17*i) }
	wantSecret(t, "by hash, others", 10, func(secret bool, seed uint64) string {
		if secret {
			return play(ShareByHash, 20, 20, various, seed)
		}
		return play(ShareByHash, 0, 0, same, seed)
	})
	wantSecret(t, "in turn, who the others are, and what is forged", 10, func(secret bool, seed uint64) string {
		if secret {
			return play(ShareByTurn, 20, 7, various, seed)
		}
		return play(ShareByTurn, 20, 0, same, seed)
	})
	wantSeen(t, "in turn, how many others", 1, func(secret bool, seed uint64) string {
		if secret {
			return play(ShareByTurn, 1, 0, various, seed)
		}
		return play(ShareByTurn, 0, 0, same, seed)
	})
}

// TestMapsTellNothing: nothing that any host sees depends on the seeds of hash
// tables, or on the order in which one is walked: what many do at random, with all
// tables full, is answered to the byte as it was the time before, when each map
// had another seed.
func TestMapsTellNothing(t *testing.T) {
	wantSecret(t, "the seeds of maps", 3, func(_ bool, seed uint64) string {
		c := newCrowd(Config{TimeWaits: 20, SynBacklog: 20}, seed)
		c.serve(ShareByHash, 200, closing).FastOpenLimit = 3
		c.serve(ShareByHash, 200, quiet)
		for i := range 400 {
			e := c.end(byte(otherHosts+c.schedule.IntN(20)), uint16(c.schedule.IntN(100)))
			switch c.schedule.IntN(4) {
			case 0:
				e.send(segment.Segment{Flags: segment.SYN, Opts: segment.Options{MSS: 1000 + uint16(i)}})
			case 1:
				c.forgeries(e)
			case 2:
				e.connect()
				e.finish()
			default:
				c.pass(time.Duration(c.schedule.IntN(5000)) * time.Millisecond)
			}
		}
		c.Close(c.now)
		all := ""
		for i := range byte(20) {
			all += c.view(netip.AddrFrom4([4]byte{10, 0, 0, otherHosts + i})).String()
		}
		return all
	})
}

// TestPathMTUsTellNothing: whether a forged report has met something in flight is
// not to be seen by whether the stack still knows the MTUs of other paths, and
// hardly by whether it takes one more. Where the oldest makes room, as it once
// did, or the table has a sharp edge, it is seen each time.
func TestPathMTUsTellNothing(t *testing.T) {
	const limit, tries = 1024, 2000
	addr := func(i int) netip.Addr {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i))
		return netip.AddrFrom4(a)
	}
	// filled has n paths of the observer's.
	filled := func(n int, random func() uint64) *pathMTUs {
		q := &pathMTUs{limit: limit, random: random, byAddr: map[netip.Addr]foundMTU{}}
		for i := range n {
			p := mtuPlace{addr(i), tcptest.Start.Add(raiseInterval)}
			q.byAddr[p.addr] = foundMTU{1000, p.until}
			q.queue.Push(p)
		}
		return q
	}
	forged, own := addr(limit), addr(limit+1)
	kept := func(oldestGoes bool) noninterference.World {
		return func(secret bool, seed uint64) (view string) {
			random := rand.New(rand.NewPCG(seed, 3))
			n := limit/2 + random.IntN(limit/2)
			if oldestGoes {
				n = limit
			}
			q := filled(n, random.Uint64)
			if secret && oldestGoes {
				delete(q.byAddr, q.queue.Pop().addr)
			}
			if secret {
				q.learn(tcptest.Start, forged, 1000, 1500)
			}
			for i := range n {
				if _, ok := q.lookup(tcptest.Start, addr(i)); ok {
					view += fmt.Sprintln(i)
				}
			}
			return view
		}
	}
	wantSecret(t, "what is kept", 30, kept(false))
	wantSeen(t, "what is kept where the oldest goes", 1, kept(true))

	taken := func(n int, random func() uint64) func(bool, uint64) float64 {
		q := filled(n, random)
		return func(secret bool, _ uint64) (taken float64) {
			if secret {
				q.learn(tcptest.Start, forged, 1000, 1500)
			}
			q.learn(tcptest.Start, own, 1000, 1500)
			if _, ok := q.lookup(tcptest.Start, own); ok {
				taken = 1
			}
			delete(q.byAddr, forged)
			delete(q.byAddr, own)
			return taken
		}
	}
	for _, n := range []int{0, limit*3/4 - 1, limit * 7 / 8, limit - 2, limit - 1} {
		if err := noninterference.Alike(tries, taken(n, rand.New(rand.NewPCG(uint64(n), 3)).Uint64)); err != nil {
			t.Errorf("with %d paths, what is taken: %v", n, err)
		}
	}
	if noninterference.Alike(tries, taken(limit-1, func() uint64 { return limit/4 - 1 })) == nil {
		t.Error("a sharp edge is not found")
	}

	wantSecret(t, "a report about another's connection", 50, func(secret bool, seed uint64) string {
		c := newCrowd(Config{}, seed)
		c.serve(ShareNone, 1000, sayMuch())
		victim := c.end(secretHost, guessed)
		victim.connect()
		c.end(observer, 50000).connect()
		q := victim.isn + 1
		if !secret {
			q += 1 << 20
		}
		c.tooBig(victim.flow, q, 600+c.schedule.IntN(800))
		c.pass(time.Duration(c.schedule.IntN(2000)) * time.Millisecond)
		c.end(observer, 50001).connect()
		c.pass(time.Second)
		c.Close(c.now)
		return c.view(observed).String()
	})
	wantSeen(t, "a report about the own connection", 1, func(secret bool, seed uint64) string {
		c := newCrowd(Config{}, seed)
		c.serve(ShareNone, 1000, sayMuch())
		first := c.end(observer, 50000)
		first.connect()
		if secret {
			c.tooBig(first.flow, first.isn+1, 600)
		}
		c.end(observer, 50001).connect()
		c.Close(c.now)
		return c.view(observed).String()
	})
}

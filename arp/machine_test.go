package arp

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/packet"
)

// rig is a machine in fake time. It writes down what the machine does, each
// line with the time since the start:
//
//	0s *: Request who-has 10.0.0.2 tell 10.0.0.1     an ARP packet to all stations
//	0s b: datagram 7                                 to the station 02:00:00:00:00:0b
//	3s failed: datagram 7
type rig struct {
	t          *testing.T
	m          *machine
	stats      Stats
	start, now time.Time
	log        []string
	live       int64
}

// newRig returns the rig of a host A that has announced its addresses.
func newRig(t *testing.T, cfg Config) *rig {
	r := bareRig(t, cfg)
	r.m.claim.start(r.now)
	r.pass(time.Minute)
	r.start, r.log = r.now, nil
	return r
}

// bareRig returns a rig that has not started, with a check for leaks.
func bareRig(t *testing.T, cfg Config) *rig {
	cfg.MAC = macA
	if cfg.Addrs == nil {
		cfg.Addrs = []netip.Addr{ipA}
	}
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &rig{t: t, start: start, now: start, live: packet.Live()}
	r.m = newMachine(cfg, &r.stats)
	t.Cleanup(func() {
		r.m.cache.close()
		r.collect()
		if packet.Live() != r.live {
			t.Errorf("%d packets leaked", packet.Live()-r.live)
		}
	})
	return r
}

// collect writes down, and releases, what is in the outbox.
func (r *rig) collect() {
	note := func(format string, args ...any) {
		r.log = append(r.log, fmt.Sprintf("%v %s", r.now.Sub(r.start), fmt.Sprintf(format, args...)))
	}
	for _, b := range r.m.frames {
		h := ethernet.Header(b.Bytes())
		if h.Src() != macA {
			r.t.Errorf("frame from %v", h.Src())
		}
		to := strings.TrimPrefix(h.Dst().String(), "02:00:00:00:00:0")
		if h.Dst() == ethernet.Broadcast {
			to = "*"
		}
		if h.Type() == ethernet.TypeIPv4 {
			note("%s: datagram %s", to, b.Bytes()[ethernet.HeaderLen:])
		} else if p, err := Parse(b.Bytes()[ethernet.HeaderLen:]); err == nil {
			s := strings.TrimSuffix(strings.TrimPrefix(p.String(), "ARP, "), ", length 28")
			note("%s: %s", to, s)
		} else {
			r.t.Errorf("sends a bad packet: %v", err)
		}
		b.Release()
	}
	for _, b := range r.m.failed {
		note("failed: datagram %s", b.Bytes())
		b.Release()
	}
	r.m.frames, r.m.failed = nil, nil
}

// datagram makes datagram number id; the machine does not look inside.
func datagram(nextHop netip.Addr, id int) *packet.Buffer {
	return datagramOf(nextHop, strconv.Itoa(id))
}

// give hands datagrams to the machine as the process does.
func (r *rig) give(nextHop netip.Addr, ids ...int) {
	for _, id := range ids {
		r.put(datagram(nextHop, id))
	}
}

func (r *rig) put(b *packet.Buffer) {
	if r.m.ready(b) {
		r.m.frames = append(r.m.frames, b)
	} else {
		r.m.send(r.now, b)
	}
	r.collect()
}

// hear lets the machine receive a packet.
func (r *rig) hear(p Packet) {
	r.m.receive(r.now, encode(p))
	r.collect()
}

// pass lets time pass, and the machine do what is due in it.
func (r *rig) pass(d time.Duration) {
	end := r.now.Add(d)
	for {
		due := r.m.deadline()
		if due.IsZero() || due.After(end) {
			break
		}
		if due.Before(r.now) {
			r.t.Fatalf("the deadline %v is past", due.Sub(r.start))
		}
		r.now = due
		r.m.expire(r.now)
		r.collect()
	}
	r.now = end
}

// want checks what the machine has done since the last call.
func (r *rig) want(lines ...string) {
	r.t.Helper()
	if !slices.Equal(r.log, lines) {
		r.t.Fatalf("at %v\ngot  %s\nwant %s", r.now.Sub(r.start), strings.Join(r.log, "\n     "), strings.Join(lines, "\n     "))
	}
	r.log = nil
}

// TestReceive is the algorithm of RFC 826, "Packet Reception".
func TestReceive(t *testing.T) {
	t.Run("RFC826 answers requests for an own address", func(t *testing.T) {
		r := newRig(t, Config{Addrs: []netip.Addr{ipA, ipC}})
		r.hear(requestFrom(macB, ipB, ipC))
		r.want("0s b: Reply 10.0.0.3 is-at 02:00:00:00:00:0a")
	})
	t.Run("RFC826 does not answer for others", func(t *testing.T) {
		r := newRig(t, Config{})
		r.hear(requestFrom(macB, ipB, ipC))
		r.want()
	})
	t.Run("RFC826 learns the sender when it is the target", func(t *testing.T) {
		r := newRig(t, Config{})
		r.hear(requestFrom(macB, ipB, ipA))
		r.give(ipB, 1)
		r.want("0s b: Reply 10.0.0.1 is-at 02:00:00:00:00:0a", "0s b: datagram 1")
	})
	t.Run("RFC826 learns nothing new when it is not the target", func(t *testing.T) {
		r := newRig(t, Config{})
		r.hear(requestFrom(macB, ipB, ipC))
		r.hear(requestFrom(macB, ipB, ipB))
		r.give(ipB, 1)
		r.want("0s *: Request who-has 10.0.0.2 tell 10.0.0.1")
	})
	t.Run("RFC826 merge flag: updates what it knows", func(t *testing.T) {
		r := newRig(t, Config{})
		r.hear(requestFrom(macB, ipB, ipA))
		r.hear(requestFrom(macC, ipB, ipC))
		r.give(ipB, 1)
		r.want("0s b: Reply 10.0.0.1 is-at 02:00:00:00:00:0a", "0s c: datagram 1")
		if n := r.stats.Changed.Load(); n != 1 {
			t.Errorf("Changed is %d", n)
		}
	})
	t.Run("RFC5227-2.1.1 answers a probe, and does not learn from it", func(t *testing.T) {
		r := newRig(t, Config{})
		r.hear(requestFrom(macB, nobody, ipA))
		r.want("0s b: Reply 10.0.0.1 is-at 02:00:00:00:00:0a")
		if len(r.m.cache.byAddr) != 0 {
			t.Error("learned from a probe")
		}
	})
	t.Run("ignores its own packets", func(t *testing.T) {
		r := newRig(t, Config{})
		r.hear(requestFrom(macA, ipA, ipA))
		r.hear(requestFrom(macA, ipB, ipA))
		r.want()
		if n := r.stats.Conflicts.Load(); n != 0 {
			t.Errorf("Conflicts is %d", n)
		}
	})
	t.Run("counts", func(t *testing.T) {
		r := newRig(t, Config{})
		r.m.receive(r.now, make([]byte, 60))
		r.hear(replyFrom(ethernet.Broadcast, ipB))
		r.hear(replyFrom(macB, ipB))
		r.hear(requestFrom(macB, ipB, ipC))
		got := []uint64{r.stats.DropMalformed.Load(), r.stats.DropSender.Load(), r.stats.RxReplies.Load(), r.stats.RxRequests.Load()}
		if !slices.Equal(got, []uint64{1, 1, 1, 1}) {
			t.Errorf("malformed, sender, replies, requests: %v", got)
		}
		r.want()
	})
}

// TestGroup: no address is asked for to reach a group (RFC 1112 section 6.4
// maps IP groups, and all of RFC 1122 section 3.3.6's broadcasts are one).
func TestGroup(t *testing.T) {
	r := newRig(t, Config{})
	for i, hop := range []string{"255.255.255.255", "10.0.0.255", "224.0.0.251"} {
		b := datagram(netip.MustParseAddr(hop), i)
		b.Group = true
		r.put(b)
	}
	r.want("0s *: datagram 0", "0s *: datagram 1", "0s 01:00:5e:00:00:fb: datagram 2")
}

// FuzzMachine gives the machine random events, and checks that its tables are
// bounded, that every datagram ends in one place, that no address is asked for
// twice within a second, and that the deadline is never missed.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 2, 20, 1, 1, 0, 1, 2, 200, 2, 200}, false)
	f.Add([]byte{0, 1, 0, 1, 2, 10, 2, 10, 2, 10, 2, 10, 0, 1, 2, 60, 0, 1, 1, 1}, false)
	f.Add([]byte{2, 30, 1, 9, 0, 3, 2, 255, 2, 255, 2, 255, 2, 255, 0, 3}, true)
	f.Fuzz(func(t *testing.T, events []byte, probe bool) {
		r := bareRig(t, Config{MaxEntries: 4, Timeout: 10 * time.Second, Probe: probe, Random: func() uint64 { return 7 << 40 },
			Static: map[netip.Addr]ethernet.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 9}): macC}})
		r.m.claim.start(r.now)
		r.collect()
		asked := map[string]time.Duration{}
		given := uint64(0)
		for len(events) >= 2 {
			what, x := events[0], events[1]
			events = events[2:]
			addr := netip.AddrFrom4([4]byte{10, 0, 0, x % 16})
			mac := ethernet.Addr{2, 0, 0, 0, 0, x % 16}
			switch what % 8 {
			case 0, 1:
				given++
				r.give(addr, int(x))
			case 2:
				r.hear(replyFrom(mac, addr))
			case 3:
				r.hear(requestFrom(mac, addr, ipA))
			case 4:
				r.hear(requestFrom(mac, nobody, addr))
			case 5:
				r.hear(requestFrom(macC, addr, addr))
			default:
				r.pass(time.Duration(x) * 100 * time.Millisecond)
			}
			check(t, r, asked, given)
		}
		r.m.cache.close()
		r.collect()
		check(t, r, asked, given)
		if r.m.cache.queued != 0 {
			t.Fatalf("%d datagrams wait for ever", r.m.cache.queued)
		}
	})
}

func check(t *testing.T, r *rig, asked map[string]time.Duration, given uint64) {
	c := r.m.cache
	queued := 0
	for i, e := range c.entries {
		queued += len(e.queue)
		if e.index != i || c.byAddr[e.addr] != e || len(e.queue) > maxQueue || (e.state != incomplete && len(e.queue) > 0) {
			t.Fatalf("entry %+v", e)
		}
		if e.deadline.Before(c.next) {
			t.Fatalf("%v is due at %v, expire at %v", e.addr, e.deadline, c.next)
		}
	}
	if len(c.entries) > c.maxEntries || len(c.byAddr) != len(c.entries)+1 || queued != c.queued || queued > maxQueued {
		t.Fatalf("%d entries, %d addresses, %d datagrams in queues, %d counted", len(c.entries), len(c.byAddr), queued, c.queued)
	}
	s := &r.stats
	ended := s.TxDatagrams.Load() + s.Unreachable.Load() + s.DropQueueFull.Load() + s.DropCacheFull.Load() + s.DropClosed.Load()
	if given != ended+uint64(queued) {
		t.Fatalf("%d datagrams given, %d ended, %d wait", given, ended, queued)
	}
	for _, line := range r.log {
		at, what, _ := strings.Cut(line, " ")
		when, _ := time.ParseDuration(at)
		_, what, ok := strings.Cut(what, ": Request who-has ")
		if !ok {
			continue
		}
		what, _, _ = strings.Cut(what, " ")
		if last, ok := asked[what]; ok && when-last < requestInterval {
			t.Fatalf("%s is asked for at %v and %v", what, last, when)
		}
		asked[what] = when
	}
	r.log = nil
}

package arp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
)

// TestAnnounce: RFC5227-2.3: two announcements, two seconds apart; the address
// may be used from the first on.
func TestAnnounce(t *testing.T) {
	r := bareRig(t, Config{Addrs: []netip.Addr{ipA, ipC}})
	r.m.claim.start(r.now)
	r.collect()
	r.hear(requestFrom(macB, ipB, ipC))
	r.want("0s *: Announcement 10.0.0.1", "0s *: Announcement 10.0.0.3", "0s b: Reply 10.0.0.3 is-at 02:00:00:00:00:0a")
	r.pass(time.Hour)
	r.want("2s *: Announcement 10.0.0.1", "2s *: Announcement 10.0.0.3")
}

// probing returns the rig of a host that probes, with the shortest intervals.
func probing(t *testing.T) *rig {
	r := bareRig(t, Config{Probe: true, Static: map[netip.Addr]ethernet.Addr{ipC: macC}})
	r.m.claim.start(r.now)
	r.collect()
	return r
}

const probe = "*: Probe 10.0.0.1"
const announcement = "*: Announcement 10.0.0.1"

func TestProbe(t *testing.T) {
	t.Run("RFC5227-2.1.1 undisturbed", func(t *testing.T) {
		r := probing(t)
		r.pass(time.Hour)
		r.want("0s "+probe, "1s "+probe, "2s "+probe, "4s "+announcement, "6s "+announcement)
	})
	t.Run("RFC5227-2.1.1 random intervals", func(t *testing.T) {
		r := bareRig(t, Config{Probe: true, Random: func() uint64 { return uint64(3 * time.Second / 4) }})
		r.m.claim.start(r.now)
		r.pass(time.Hour)
		r.want("750ms "+probe, "2.5s "+probe, "4.25s "+probe, "6.25s "+announcement, "8.25s "+announcement)
	})
	t.Run("RFC5227-2.1 does not use the address meanwhile", func(t *testing.T) {
		r := probing(t)
		r.pass(3 * time.Second)
		r.log = nil
		r.hear(requestFrom(macB, ipB, ipA))
		r.give(ipB, 1)
		r.give(ipC, 4) // whose address is known
		group := datagram(netip.MustParseAddr("224.0.0.1"), 2)
		group.Group = true
		r.put(group)
		r.want("3s failed: datagram 1", "3s failed: datagram 4", "3s failed: datagram 2")
		r.pass(time.Second)
		r.give(ipB, 3)
		r.want("4s "+announcement, "4s "+ask)
	})
	for name, p := range map[string]Packet{
		"a reply":         replyFrom(macB, ipA),
		"a request":       requestFrom(macB, ipA, ipC),
		"another's probe": requestFrom(macB, nobody, ipA),
	} {
		t.Run("RFC5227-2.1.1 conflict by "+name, func(t *testing.T) {
			r := probing(t)
			r.pass(3999 * time.Millisecond) // to the end of ANNOUNCE_WAIT
			r.log = nil
			r.hear(p)
			r.give(ipB, 1)
			r.want("3.999s failed: datagram 1")
			r.pass(time.Minute)
			r.want("1m3.999s " + probe)
			r.pass(4 * time.Second)
			r.want("1m4.999s "+probe, "1m5.999s "+probe, "1m7.999s "+announcement)
			if n := r.stats.Conflicts.Load(); n != 1 {
				t.Errorf("Conflicts is %d", n)
			}
		})
	}
	t.Run("RFC5227-2.1.1 no conflict", func(t *testing.T) {
		r := probing(t)
		r.hear(requestFrom(macA, nobody, ipA)) // the own probe, echoed
		r.hear(requestFrom(macB, nobody, ipC))
		r.hear(requestFrom(macB, ipB, ipA))
		r.pass(4 * time.Second)
		r.want("0s "+probe, "1s "+probe, "2s "+probe, "4s "+announcement)
	})
}

// TestDefend: RFC5227-2.4: (c), one defence in ten seconds for each address,
// for ever.
func TestDefend(t *testing.T) {
	r := newRig(t, Config{Addrs: []netip.Addr{ipA, ipC}})
	for range 22 {
		r.hear(requestFrom(macB, ipA, ipB))
		r.pass(time.Second)
	}
	r.hear(replyFrom(macB, ipC))
	r.want("0s "+announcement, "10s "+announcement, "20s "+announcement, "22s *: Announcement 10.0.0.3")
	if n := r.stats.Conflicts.Load(); n != 23 {
		t.Errorf("Conflicts is %d", n)
	}
	if len(r.m.cache.byAddr) != 0 {
		t.Error("an own address is in the cache")
	}
}

// TestSource: a request comes from the own address on the target's network.
func TestSource(t *testing.T) {
	c := newClaim(Config{Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("10.0.9.1")}}, nil)
	for target, want := range map[string]string{
		"10.0.0.77":     "10.0.0.1",
		"10.0.9.77":     "10.0.9.1",
		"192.168.1.200": "192.168.1.1",
		"192.168.1.1":   "192.168.1.1",
	} {
		if got := c.source(netip.MustParseAddr(target)); got.String() != want {
			t.Errorf("%s is asked for by %v, want %s", target, got, want)
		}
	}
}

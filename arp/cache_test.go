package arp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
)

func addrN(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}) }

const ask = "*: Request who-has 10.0.0.2 tell 10.0.0.1"
const poll = "b: Request who-has 10.0.0.2 (02:00:00:00:00:0b) tell 10.0.0.1"

// TestResolve: RFC1122-2.3.2.2: datagrams wait for the answer, and keep their
// order.
func TestResolve(t *testing.T) {
	r := newRig(t, Config{})
	r.give(ipB, 1, 2)
	r.want("0s " + ask)
	r.pass(time.Second / 2)
	r.hear(replyFrom(macB, ipB))
	r.give(ipB, 3)
	r.want("500ms b: datagram 1", "500ms b: datagram 2", "500ms b: datagram 3")
}

// TestRequestRate: RFC1122-2.3.2.1-2: at most one request a second for one
// address, however many datagrams there are for it.
func TestRequestRate(t *testing.T) {
	r := newRig(t, Config{})
	for i := range 20 {
		r.give(ipB, i)
		r.pass(100 * time.Millisecond)
	}
	r.want("0s "+ask, "1s "+ask, "2s "+ask)
}

// TestUnreachable: RFC1122-2.4-3: a datagram is not undeliverable for want of a
// cache entry, only when the neighbour has not answered. Then the address is
// left alone for a while.
func TestUnreachable(t *testing.T) {
	r := newRig(t, Config{})
	r.give(ipB, 1)
	r.pass(2900 * time.Millisecond)
	r.give(ipB, 2)
	r.pass(100 * time.Millisecond)
	r.want("0s "+ask, "1s "+ask, "2s "+ask, "3s failed: datagram 1", "3s failed: datagram 2")
	r.pass(4 * time.Second)
	r.give(ipB, 3)
	r.want("7s failed: datagram 3")
	r.pass(time.Second)
	r.give(ipB, 4)
	r.want("8s " + ask)
}

// TestRevived: a neighbour that makes itself heard is no longer held for dead.
func TestRevived(t *testing.T) {
	r := newRig(t, Config{})
	r.give(ipB, 1)
	r.pass(4 * time.Second)
	r.log = nil
	r.hear(requestFrom(macB, ipB, ipB))
	r.give(ipB, 2)
	r.want("4s b: datagram 2")
}

// TestQueueKeepsLatest: RFC1122-2.3.2.2: the latest datagram is saved.
func TestQueueKeepsLatest(t *testing.T) {
	r := newRig(t, Config{})
	for i := range maxQueue + 2 {
		r.give(ipB, i)
	}
	r.hear(replyFrom(macB, ipB))
	r.want("0s "+ask, "0s b: datagram 2", "0s b: datagram 3", "0s b: datagram 4", "0s b: datagram 5",
		"0s b: datagram 6", "0s b: datagram 7", "0s b: datagram 8", "0s b: datagram 9")
	if n := r.stats.DropQueueFull.Load(); n != 2 {
		t.Errorf("DropQueueFull is %d", n)
	}
}

// TestQueuesTogether: when too many datagrams wait, the longest queue pays,
// and the latest datagram for the new address is saved.
func TestQueuesTogether(t *testing.T) {
	r := newRig(t, Config{})
	for i := range maxQueued {
		r.give(addrN(i/4), i)
	}
	r.give(addrN(7), 1000)
	r.give(ipB, 1001)
	if r.m.cache.queued != maxQueued || r.stats.DropQueueFull.Load() != 2 {
		t.Errorf("%d wait, %d dropped", r.m.cache.queued, r.stats.DropQueueFull.Load())
	}
	r.log = nil
	r.hear(replyFrom(macB, ipB))
	r.want("0s b: datagram 1001")
	r.hear(replyFrom(macB, addrN(7)))
	r.want("0s b: datagram 29", "0s b: datagram 30", "0s b: datagram 31", "0s b: datagram 1000")
}

// TestTimeout: RFC1122-2.3.2.1-1, RFC1122-2.3.2.1-3: entries that are out of date are flushed, and
// the timeout is configurable.
func TestTimeout(t *testing.T) {
	for _, c := range []struct{ config, timeout time.Duration }{
		{0, time.Minute}, {time.Hour, time.Hour}, {1, time.Second},
	} {
		t.Run("RFC1122-2.3.2.1-1 "+c.timeout.String(), func(t *testing.T) {
			r := newRig(t, Config{Timeout: c.config})
			r.hear(requestFrom(macB, ipB, ipA))
			r.pass(c.timeout - 1)
			if _, ok := r.m.cache.byAddr[ipB]; !ok {
				t.Error("forgotten too early")
			}
			r.pass(1)
			if _, ok := r.m.cache.byAddr[ipB]; ok {
				t.Error("not forgotten")
			}
			if !r.m.deadline().IsZero() {
				t.Errorf("an empty cache has the deadline %v", r.m.deadline())
			}
		})
	}
}

// TestRefresh: RFC1122-2.3.2.1-1: any packet from the neighbour restarts the
// timeout, broadcast or not.
func TestRefresh(t *testing.T) {
	r := newRig(t, Config{})
	r.hear(requestFrom(macB, ipB, ipA))
	r.pass(40 * time.Second)
	r.hear(requestFrom(macB, ipB, ipC))
	r.pass(40 * time.Second)
	r.log = nil
	r.give(ipB, 1)
	r.want("1m20s b: datagram 1")
}

// TestPoll: RFC1122-2.3.2.1-1: an entry in use is confirmed by unicast, is
// used meanwhile, and is deleted when two polls have no answer.
func TestPoll(t *testing.T) {
	prepare := func(t *testing.T) *rig {
		r := newRig(t, Config{})
		r.give(ipB, 1)
		r.hear(replyFrom(macB, ipB))
		r.log = nil
		r.pass(time.Minute)
		r.want("1m0s " + poll)
		return r
	}
	t.Run("RFC1122-2.3.2.1-1 answered", func(t *testing.T) {
		r := prepare(t)
		r.give(ipB, 2)
		r.hear(replyFrom(macB, ipB))
		r.want("1m0s b: datagram 2")
		r.pass(time.Minute) // nothing was sent since: forgotten without a poll
		r.want()
		if _, ok := r.m.cache.byAddr[ipB]; ok {
			t.Error("not forgotten")
		}
	})
	t.Run("RFC1122-2.3.2.1-1 in use for long", func(t *testing.T) {
		r := prepare(t)
		r.hear(replyFrom(macB, ipB))
		r.give(ipB, 2)
		r.pass(time.Minute)
		r.want("1m0s b: datagram 2", "2m0s "+poll)
	})
	t.Run("RFC1122-2.3.2.1-1 not answered", func(t *testing.T) {
		r := prepare(t)
		r.pass(1500 * time.Millisecond)
		r.give(ipB, 2)
		r.pass(500 * time.Millisecond)
		r.want("1m1s "+poll, "1m1.5s b: datagram 2")
		r.give(ipB, 3)
		r.want("1m2s " + ask)
	})
}

// TestStatic: a static entry is neither asked for, nor overwritten, nor
// forgotten.
func TestStatic(t *testing.T) {
	r := newRig(t, Config{Static: map[netip.Addr]ethernet.Addr{ipB: macB}})
	r.hear(replyFrom(macC, ipB))
	r.give(ipB, 1)
	r.pass(time.Hour)
	r.give(ipB, 2)
	r.want("0s b: datagram 1", "1h0m0s b: datagram 2")
}

// TestEviction: a full cache forgets dead neighbours first, then the one not
// in use that was silent longest, and never one that is in use or asked for.
func TestEviction(t *testing.T) {
	has := func(r *rig, n int) bool { return r.m.cache.byAddr[addrN(n)] != nil }
	t.Run("idle", func(t *testing.T) {
		r := newRig(t, Config{MaxEntries: 3})
		for n := range 3 {
			r.hear(requestFrom(macB, addrN(n), ipA))
			r.pass(time.Second)
		}
		r.give(addrN(0), 1) // in use
		r.hear(requestFrom(macB, addrN(3), ipA))
		if !has(r, 0) || has(r, 1) || !has(r, 2) || !has(r, 3) {
			t.Errorf("kept %v", r.m.cache.snapshot(r.now))
		}
	})
	t.Run("failed first", func(t *testing.T) {
		r := newRig(t, Config{MaxEntries: 2, Timeout: 5 * time.Second})
		r.hear(requestFrom(macB, addrN(1), ipA))
		r.give(addrN(0), 1)
		r.pass(4 * time.Second)
		r.hear(requestFrom(macB, addrN(2), ipA)) // the deadline of addrN(1) is the first
		if has(r, 0) || !has(r, 1) || !has(r, 2) {
			t.Errorf("kept %v", r.m.cache.snapshot(r.now))
		}
	})
	t.Run("nothing to evict", func(t *testing.T) {
		r := newRig(t, Config{MaxEntries: 1})
		r.give(addrN(0), 1)
		r.give(addrN(1), 2)
		r.hear(requestFrom(macB, addrN(2), ipA))
		if !has(r, 0) || has(r, 1) || has(r, 2) || r.stats.DropCacheFull.Load() != 1 {
			t.Errorf("kept %v, dropped %d", r.m.cache.snapshot(r.now), r.stats.DropCacheFull.Load())
		}
	})
	t.Run("RFC1122-2.3.2.1-2 asked for a moment ago", func(t *testing.T) {
		r := newRig(t, Config{MaxEntries: 1})
		r.give(ipB, 1)
		r.hear(replyFrom(macB, ipB))
		r.hear(replyFrom(macB, ipB)) // refreshed, and not in use since
		r.give(ipC, 2)
		r.give(ipB, 3)
		r.want("0s "+ask, "0s b: datagram 1", "0s b: datagram 3")
	})
}

func TestSnapshot(t *testing.T) {
	r := newRig(t, Config{Static: map[netip.Addr]ethernet.Addr{addrN(0): macC}})
	r.give(addrN(1), 1)
	r.give(addrN(4), 1)
	r.hear(replyFrom(macB, addrN(4)))
	r.pass(time.Minute)
	r.give(addrN(1), 1)
	r.pass(4 * time.Second)
	r.give(addrN(2), 1)
	r.hear(requestFrom(macB, addrN(3), ipA))
	r.hear(requestFrom(macB, addrN(4), ipA))
	r.give(addrN(4), 1)
	r.pass(time.Millisecond)
	want := map[netip.Addr]Neighbour{
		addrN(0): {addrN(0), macC, "static", 0},
		addrN(1): {addrN(1), ethernet.Addr{}, "failed", 0},
		addrN(2): {addrN(2), ethernet.Addr{}, "incomplete", 0},
		addrN(3): {addrN(3), macB, "reachable", time.Millisecond},
		addrN(4): {addrN(4), macB, "reachable", time.Millisecond},
	}
	list := r.m.cache.snapshot(r.now)
	for _, n := range list {
		if n != want[n.Addr] {
			t.Errorf("got %v, want %v", n, want[n.Addr])
		}
	}
	if len(list) != len(want) {
		t.Errorf("%d entries", len(list))
	}
}

// BenchmarkLookup is the hot path: find the neighbour.
func BenchmarkLookup(b *testing.B) {
	var stats Stats
	m := newMachine(Config{MAC: macA, Addrs: []netip.Addr{ipA}}, &stats)
	now := time.Now()
	for n := range 100 {
		m.cache.learn(now, addrN(n), macB, true)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := m.cache.lookup(addrN(50)); !ok {
			b.Fatal("not found")
		}
	}
}

// BenchmarkEvict is what an ARP request costs whose sender is new, when the cache
// is full: it is searched for whom to forget.
func BenchmarkEvict(b *testing.B) {
	var stats Stats
	m := newMachine(Config{MAC: macA, Addrs: []netip.Addr{ipA}}, &stats)
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	learn := func(i int) {
		m.cache.learn(now, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), macB, true)
	}
	for i := range defaultEntries {
		learn(i)
	}
	now = now.Add(2 * requestInterval)
	for i := defaultEntries; b.Loop(); i++ {
		learn(i)
	}
	if len(m.cache.entries) != defaultEntries {
		b.Errorf("%d entries", len(m.cache.entries))
	}
}

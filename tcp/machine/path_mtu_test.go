package machine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A fakePath lets datagrams of up to mtu bytes through, without a word.
type fakePath struct {
	*pathMTU
	mtu    int
	nxt    segment.Seq
	now    time.Time
	probes []int
}

// turn sends a probe if one is due, and else a segment of full size; what
// arrives is acknowledged after a round trip. It says whether it did.
func (f *fakePath) turn() bool {
	size := f.next(f.now)
	b := segment.Block{Left: f.nxt, Right: f.nxt.Add(max(size, f.largest()) - headersLen)}
	f.now = f.now.Add(10 * time.Millisecond)
	switch {
	case size > f.mtu:
		f.probed(b, size)
		f.probes = append(f.probes, size)
		f.probeLost(f.now)
		return true
	case size > 0:
		f.probed(b, size)
		f.probes = append(f.probes, size)
	case f.largest() > f.mtu:
		f.sent(b, b.Right.Sub(b.Left), true)
		f.timedOut(f.now, b.Left, true)
		return false
	default:
		f.sent(b, b.Right.Sub(b.Left), false)
	}
	f.nxt = b.Right
	f.acked(f.now, f.nxt)
	return true
}

// TestSearch: RFC4821-7.3, RFC4821-7.7, RFC8899-5.2, RFC8899-5.3: whatever the MTU of the
// path is, the search gets near to it, by few probes, and never settles above it.
func TestSearch(t *testing.T) {
	for _, link := range []int{1500, 9000, 65535} {
		for _, mtu := range []int{552, 576, 1024, 1025, 1280, 1400, 1492, 1500, 4352, 9000, 65535} {
			for _, mode := range []MTUProbing{ProbeWhenLowered, ProbeAlways} {
				p := newPathMTU(link, mode)
				f := &fakePath{pathMTU: &p, mtu: min(mtu, link), nxt: tcptest.ISS, now: tcptest.Start}
				for range 200 {
					f.turn()
				}
				if p.mtu > f.mtu || f.mtu-p.mtu > max(16, f.mtu/32) || p.state != SearchComplete {
					t.Errorf("link %d, path %d, mode %d: %d in %v after probes of %d", link, mtu, mode, p.mtu, p.state, f.probes)
				}
				if n := len(f.probes); n > 40 {
					t.Errorf("link %d, path %d, mode %d: %d probes: %d", link, mtu, mode, n, f.probes)
				}
			}
		}
	}
}

// TestSearchAgain: RFC8899-5.1.1, RFC1191-6.3: ten minutes after the end of a search, one begins that finds
// that the path has become better.
func TestSearchAgain(t *testing.T) {
	p := newPathMTU(9000, ProbeWhenLowered)
	f := &fakePath{pathMTU: &p, mtu: 1200, nxt: tcptest.ISS, now: tcptest.Start}
	for range 200 {
		f.turn()
	}
	f.mtu, f.probes = 9000, nil
	for f.now.Before(p.raiseAt.Add(-20 * time.Millisecond)) {
		f.now = f.now.Add(time.Second)
		if f.now.After(p.raiseAt) {
			f.now = p.raiseAt.Add(-20 * time.Millisecond)
		}
		f.turn()
	}
	if len(f.probes) != 0 {
		t.Errorf("probes of %d before time", f.probes)
	}
	for range 5 {
		f.turn()
	}
	if p.mtu != 9000 || fmt.Sprint(f.probes) != "[1500 9000]" {
		t.Errorf("%d after probes of %d", p.mtu, f.probes)
	}
}

// TestSearchStates: RFC8899-5.2: each event in each state that it matters in.
func TestSearchStates(t *testing.T) {
	const q = tcptest.ISS
	full := func(p *pathMTU, n int) { // a segment of full size goes out and arrives
		p.sent(segment.Block{Left: q.Add(n * 9000), Right: q.Add(n*9000 + 9000)}, p.largest(), false)
		p.acked(tcptest.Start, q.Add(n*9000+9000))
	}
	timeouts := func(p *pathMTU, n int) {
		for range n {
			p.timedOut(tcptest.Start, q, true)
		}
	}
	for _, test := range []struct {
		name string
		mode MTUProbing
		do   func(p *pathMTU)
		want string // mtu, high, state
	}{
		{"nothing is known", ProbeWhenLowered, func(*pathMTU) {}, "4000 4000 SEARCH_COMPLETE"},
		{"begins with the base", ProbeAlways, func(*pathMTU) {}, "1024 4000 BASE"},
		{"the base passes", ProbeAlways, func(p *pathMTU) { full(p, 0) }, "1024 4000 SEARCHING"},
		{"the base does not pass", ProbeAlways, func(p *pathMTU) { timeouts(p, 3) }, "552 4000 ERROR"},
		{"the least passes", ProbeAlways, func(p *pathMTU) { timeouts(p, 3); full(p, 0) }, "552 4000 SEARCHING"},
		{"there is nothing below the least", ProbeAlways, func(p *pathMTU) { timeouts(p, 30) }, "552 4000 ERROR"},
		{"two timeouts are none too many", ProbeWhenLowered, func(p *pathMTU) { timeouts(p, 2); p.acked(tcptest.Start, q); timeouts(p, 2) }, "4000 4000 SEARCH_COMPLETE"},
		{"small segments time out for other reasons", ProbeWhenLowered, func(p *pathMTU) { p.timedOut(tcptest.Start, q, false); timeouts(p, 2) }, "4000 4000 SEARCH_COMPLETE"},
		{"a black hole", ProbeWhenLowered, func(p *pathMTU) { timeouts(p, 3) }, "1024 4000 BASE"},
		{"a black hole below the base", ProbeWhenLowered, func(p *pathMTU) { timeouts(p, 4) }, "552 4000 ERROR"},
		{"switched off", ProbeNever, func(p *pathMTU) { timeouts(p, 30) }, "4000 4000 DISABLED"},
		{"a router speaks", ProbeWhenLowered, func(p *pathMTU) { p.tooBig(tcptest.Start, 1300, q) }, "1300 1300 SEARCH_COMPLETE"},
		{"a router speaks of nothing new", ProbeWhenLowered, func(p *pathMTU) { p.tooBig(tcptest.Start, 4000, q) }, "4000 4000 SEARCH_COMPLETE"},
		{"a router lies", ProbeWhenLowered, func(p *pathMTU) { full(p, 0); p.tooBig(tcptest.Start, 1300, q.Add(9000)); full(p, 1); timeouts(p, 1) }, "4000 4000 SEARCH_COMPLETE"},
		{"a router is right after all", ProbeWhenLowered, func(p *pathMTU) { full(p, 0); p.tooBig(tcptest.Start, 1300, q.Add(9000)); timeouts(p, 1) }, "1300 1300 SEARCH_COMPLETE"},
		{"a black hole behind a router", ProbeWhenLowered, func(p *pathMTU) { p.tooBig(tcptest.Start, 1300, q); timeouts(p, 3); full(p, 0) }, "1024 1300 SEARCHING"},
		{"a probe arrives", ProbeAlways, func(p *pathMTU) {
			full(p, 0)
			p.probed(segment.Block{Left: q.Add(9000), Right: q.Add(10000)}, 1500)
			full(p, 1)
		}, "1500 4000 SEARCHING"},
		{"a probe is sent again", ProbeAlways, func(p *pathMTU) {
			full(p, 0)
			p.probed(segment.Block{Left: q.Add(9000), Right: q.Add(10000)}, 1500)
			p.sent(segment.Block{Left: q.Add(9500), Right: q.Add(9600)}, 984, true)
			full(p, 1)
		}, "1024 4000 SEARCHING"},
		{"a probe times out", ProbeAlways, func(p *pathMTU) {
			full(p, 0)
			for range maxProbes {
				p.probed(segment.Block{Left: q.Add(9000), Right: q.Add(10000)}, 1500)
				p.timedOut(tcptest.Start, q.Add(9000), false)
			}
		}, "1024 1499 SEARCHING"},
		{"a probe is too big", ProbeAlways, func(p *pathMTU) {
			full(p, 0)
			p.probed(segment.Block{Left: q.Add(9000), Right: q.Add(10000)}, 1500)
			p.tooBig(tcptest.Start, 1200, q.Add(9000))
			p.probeLost(tcptest.Start)
		}, "1024 1200 SEARCHING"},
		{"a probe meets an old router", ProbeAlways, func(p *pathMTU) {
			full(p, 0)
			p.probed(segment.Block{Left: q.Add(9000), Right: q.Add(10000)}, 1500)
			p.tooBig(tcptest.Start, 0, q.Add(9000))
		}, "1024 1492 SEARCHING"},
	} {
		p := newPathMTU(4000, test.mode)
		test.do(&p)
		if got := fmt.Sprint(p.mtu, " ", p.high, " ", p.state); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestPathMTURandom: RFC9293-3.7.1, RFC8899-5.3: whatever happens, the path MTU stays between the least and
// what the link has, a probe is larger than it and not larger than what the peer takes, and a
// search goes on or is over.
func TestPathMTURandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 9))
	for run := range 300 {
		link := []int{576, 1500, 9000, 65535}[rnd.IntN(4)]
		p := newPathMTU(link, MTUProbing(rnd.IntN(3)))
		p.limit(link - rnd.IntN(link/3))
		now, una, nxt := tcptest.Start, tcptest.ISS, tcptest.ISS
		var did []string
		for range 200 {
			now = now.Add(time.Duration(rnd.IntN(1 << rnd.IntN(40))))
			size, event := p.next(now), rnd.IntN(7)
			if size != 0 && (size <= p.mtu || size > p.most) {
				t.Fatalf("run %d: a probe of %d, path %d, limit %d after %s", run, size, p.mtu, p.most, strings.Join(did, " "))
			}
			switch event {
			case 0, 1:
				b := segment.Block{Left: nxt, Right: nxt.Add(1 + rnd.IntN(2*p.mtu))}
				if nxt = b.Right; size != 0 {
					p.probed(b, size)
				} else {
					p.sent(b, p.largest()-headersLen, false)
				}
			case 2:
				una = una.Add(rnd.IntN(nxt.Sub(una) + 1))
				p.acked(now, una)
			case 3:
				p.sent(segment.Block{Left: una, Right: una.Add(rnd.IntN(nxt.Sub(una) + 1))}, p.largest()-headersLen, true)
			case 4:
				p.timedOut(now, una, rnd.IntN(2) == 0)
			case 5:
				p.tooBig(now, rnd.IntN(2)*rnd.IntN(link), una.Add(rnd.IntN(nxt.Sub(una)+1)))
			case 6:
				if p.probing() {
					p.probeLost(now)
				}
			}
			did = append(did, fmt.Sprint(event))
			if p.mtu < minPMTU || p.mtu > link || p.state == SearchComplete && p.probing() {
				t.Fatalf("run %d: %+v after %s", run, p, strings.Join(did, " "))
			}
			if p.state == Searching && !p.probing() && p.next(now) == 0 {
				t.Fatalf("run %d: the search neither ends nor goes on: %+v after %s", run, p, strings.Join(did, " "))
			}
		}
	}
}

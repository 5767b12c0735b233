package dns

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var nxdomain = response{RCode: dnsmessage.RCodeNameError, Authorities: []dnsmessage.Resource{soa("org.", 600, 300)}}

// TestSearch goes through the candidates, whatever is said of each.
func TestSearch(t *testing.T) {
	lame := response{NoRecursion: true}
	names := []string{"h.a.", "h.b.", "h."}
	for _, c := range []struct {
		replies []response
		err     string
	}{
		{[]response{answers(a("h.a.", 60, "192.0.2.1"))}, ""},
		{[]response{nxdomain, answers(a("h.b.", 60, "192.0.2.1"))}, ""},
		{[]response{{}, answers(a("h.b.", 60, "192.0.2.1"))}, ""}, // no data
		{[]response{servfail, answers(a("h.b.", 60, "192.0.2.1"))}, ""},
		{[]response{nxdomain, lame, answers(a("h.", 60, "192.0.2.1"))}, ""},
		{[]response{nxdomain, nxdomain, nxdomain}, "lookup x on 10.0.0.1:53: no such host"},
		{[]response{{}, {}, {}}, "lookup x on 10.0.0.1:53: no such host"},
		{[]response{nxdomain, servfail, nxdomain}, "lookup x on 10.0.0.1:53: server misbehaving"},
		{[]response{lame, servfail, nxdomain}, "lookup x on 10.0.0.1:53: lame referral"},
	} {
		b := newBench(t, Config{Search: []string{"a", "b."}})
		l := b.look("h")
		for i, r := range c.replies {
			b.reply(b.asked(server1, names[i], false), r)
		}
		if c.err == "" {
			b.wantAddrs(l, "192.0.2.1")
		} else {
			b.wantError(l, c.err)
		}
		b.idle()
	}
	// A server that does not answer at all is not asked for the rest.
	b := newBench(t, Config{Search: []string{"a", "b."}, Attempts: 1})
	l := b.look("h")
	b.timeOut(b.asked(server1, "h.a.", false))
	b.wantError(l, "lookup x on 10.0.0.1:53: i/o timeout")
	b.idle()
}

// TestAliases follows them over several replies, and finds loops.
func TestAliases(t *testing.T) {
	b := newBench(t, Config{})
	l := b.look("a.")
	b.reply(b.asked(server1, "a.", false), answers(cname("a.", 60, "B.")))
	b.reply(b.asked(server1, "b.", false), answers(cname("b.", 60, "c."), a("c.", 60, "192.0.2.1")))
	b.wantAddrs(l, "192.0.2.1")
	if l.result.canonical != "c." {
		t.Errorf("canonical name %q", l.result.canonical)
	}
	b.idle()
	b.wantAddrs(b.look("a."), "192.0.2.1") // from the cache, alias for alias
	b.idle()

	for _, ttl := range []uint32{0, 60} { // with the cache, and without
		b := newBench(t, Config{})
		l := b.look("a.")
		n := 0
		for !l.ended {
			x := b.open[0]
			to := map[string]string{"a.": "b.", "b.": "a."}[x.query.name]
			b.reply(x, answers(cname(x.query.name, ttl, to)))
			if n++; n > maxAliases+1 {
				t.Fatal("a loop goes on")
			}
		}
		b.wantError(l, "lookup x: too many aliases, or a loop of them")
		b.idle()
	}
}

// TestJoined: RFC5452-5, RFC1123-6.1.2.1: asks one question once, however many want to know.
func TestJoined(t *testing.T) {
	b := newBench(t, Config{})
	var all []*lookup
	for range 10 {
		all = append(all, b.look(www))
	}
	x := b.asked(server1, www, false)
	b.cancel(all[0])
	b.settle()
	b.reply(x, answers(a(www, 0, "192.0.2.1"))) // which all who wait may have, but nobody later
	for _, l := range all[1:] {
		b.wantAddrs(l, "192.0.2.1")
	}
	if all[0].result.status != unasked || len(b.ended) != 9 {
		t.Error("who has left is told")
	}
	b.idle()
	b.look(www)
	b.asked(server1, www, false)
}

// TestCancel leaves nothing behind.
func TestCancel(t *testing.T) {
	b := newBench(t, Config{Search: []string{"a"}})
	l := b.look("h")
	b.reply(b.asked(server1, "h.a.", false), nxdomain)
	b.cancel(l)
	b.settle()
	b.cancel(l)
	b.idle()
}

// TestTooMany refuses lookups beyond the bound.
func TestTooMany(t *testing.T) {
	b := newBench(t, Config{MaxLookups: 3})
	for i := range 3 {
		b.look(fmt.Sprintf("h%d.", i))
	}
	l := b.look(www)
	b.wantError(l, "lookup x: too many lookups at a time")
	if len(b.open) != 3 || b.stats.DropLookup.Load() != 1 {
		t.Errorf("%d are asked, %d dropped", len(b.open), b.stats.DropLookup.Load())
	}
	b.reply(b.open[0], nxdomain)
	b.look(www)
	if len(b.open) != 3 {
		t.Error("there is room again, but it is not used")
	}
}

func TestNoServers(t *testing.T) {
	b := newBench(t, Config{})
	b.servers = nil
	b.wantError(b.look(www), "lookup x: no such host: there is no DNS server to ask")
	b.idle()
}

// TestTwoKinds asks for two kinds at a time, as it will be with IPv6.
func TestTwoKinds(t *testing.T) {
	b := newBench(t, Config{Search: []string{"a"}})
	l := &lookup{candidates: []string{"h.a.", "h."}, kinds: []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypePTR}}
	b.begin(b.now, l)
	b.settle()
	for _, name := range []string{"h.a.", "h."} {
		if len(b.open) != 2 || b.open[0].query.name != name || b.open[1].query.name != name {
			t.Fatalf("%d are asked", len(b.open))
		}
		first, second := b.open[0], b.open[1]
		b.reply(second, nxdomain)
		if name == "h.a." {
			b.reply(first, servfail)
		} else {
			b.reply(first, answers(a("h.", 60, "192.0.2.1")))
		}
	}
	b.wantAddrs(l, "192.0.2.1")
	b.idle()
}

// TestCacheTTL: RFC1123-6.1.2.1, RFC1123-6.1.3.1-2, RFC1123-6.1.3.3-4, RFC2308-5-1, RFC2308-5-2, RFC8767-4, RFC9520-3.2: looks at for how long each kind of answer is kept.
func TestCacheTTL(t *testing.T) {
	for _, c := range []struct {
		what string
		cfg  Config
		response
		want time.Duration
	}{
		{"an address", Config{}, answers(a(www, 60, "192.0.2.1")), time.Minute},
		{"TTL 0", Config{}, answers(a(www, 0, "192.0.2.1")), 0},
		{"TTL 0 with a floor", Config{MinTTL: time.Second}, answers(a(www, 0, "192.0.2.1")), time.Second},
		{"TTL 2^31", Config{}, answers(a(www, 1<<31, "192.0.2.1")), defaultMaxTTL},
		{"TTL 2^32-1", Config{MaxTTL: time.Hour}, answers(a(www, 1<<32-1, "192.0.2.1")), time.Hour},
		{"no such name", Config{}, nxdomain, 5 * time.Minute},
		{"no such name for long", Config{}, response{RCode: dnsmessage.RCodeNameError, Authorities: []dnsmessage.Resource{soa("org.", 1<<31, 1<<31)}}, defaultMaxNegativeTTL},
		{"no such name without SOA", Config{}, response{RCode: dnsmessage.RCodeNameError}, 0},
		{"no data", Config{MaxNegativeTTL: time.Second}, response{Authorities: []dnsmessage.Resource{soa("org.", 600, 300)}}, time.Second},
		{"SERVFAIL", Config{}, servfail, failureTTL},
		{"no cache", Config{CacheEntries: -1}, answers(a(www, 60, "192.0.2.1")), 0},
	} {
		b := newBench(t, c.cfg)
		first := b.look(www)
		b.reply(b.asked(server1, www, false), c.response)
		if c.want > 0 {
			b.pass(c.want - 1)
			again := b.look(www)
			if !again.ended || again.result.status != first.result.status || len(b.open) > 0 {
				t.Errorf("%s: not kept for %v", c.what, c.want)
			}
			b.pass(1)
		}
		if b.look(www); len(b.open) != 1 {
			t.Errorf("%s: kept for more than %v", c.what, c.want)
		}
	}
}

// TestCacheBound keeps the answers that are used.
func TestCacheBound(t *testing.T) {
	b := newBench(t, Config{CacheEntries: 10})
	ask := func(i int) (fromCache bool) {
		name := fmt.Sprintf("h%d.", i)
		l := b.look(name)
		if len(b.open) > 0 {
			b.reply(b.open[0], answers(a(name, 60, "192.0.2.1")))
			b.wantAddrs(l, "192.0.2.1")
			return false
		}
		return true
	}
	ask(0)
	for i := 1; i < 1000; i++ {
		ask(i)
		if !ask(0) {
			t.Fatalf("what is used has made room for the %dth", i)
		}
		if n := len(b.cache.byName); n > 10 || n != b.cache.order.Len() {
			t.Fatalf("%d entries, %d in order", n, b.cache.order.Len())
		}
	}
	if b.stats.Evicted.Load() != 990 {
		t.Errorf("%d were evicted", b.stats.Evicted.Load())
	}
}

// FuzzMachine lets users, servers and time do anything, and checks that each
// lookup ends once, and that nothing is left.
func FuzzMachine(f *testing.F) {
	f.Add([]byte("abcdefghijklmnopqrstuvwxyz"))
	f.Add([]byte{0, 1, 2, 0, 0, 10, 20, 30, 0, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, script []byte) { play(t, script[:min(len(script), 500)]) })
}

// TestMachineRandom is the same with scripts of a generator's.
func TestMachineRandom(t *testing.T) {
	rnd := rand.NewChaCha8([32]byte{1})
	for range 2000 {
		script := make([]byte, 200)
		rnd.Read(script)
		play(t, script)
	}
}

func play(t *testing.T, script []byte) {
	b := newBench(t, Config{Servers: both, Search: []string{"a"}, CacheEntries: 3, MaxLookups: 4})
	names := []string{"h", "www.example.org", "h.", "g.a."}
	var begun, cancelled []*lookup
	step := func(v byte) {
		kind, value := v&7, int(v>>3)
		if kind == 0 {
			begun = append(begun, b.look(names[value%len(names)]))
			return
		}
		if kind == 1 && len(begun) > 0 {
			l := begun[value%len(begun)]
			if !l.ended {
				cancelled = append(cancelled, l)
			}
			b.cancel(l)
			b.settle()
			return
		}
		if len(b.open) == 0 {
			b.pass(time.Duration(value) * 10 * time.Second)
			return
		}
		x := b.open[value%len(b.open)]
		name := x.query.name
		switch kind {
		case 1, 2:
			b.timeOut(x)
		case 3:
			b.reply(x, []response{answers(a(name, uint32(value), "192.0.2.1")), answers(cname(name, 0, name))}[value%2])
		case 4:
			b.reply(x, answers(cname(name, uint32(value), []string{"h.", "g.a."}[value%2])))
		case 5:
			b.reply(x, []response{nxdomain, servfail, {NoRecursion: true}, {}}[value%4])
		case 6:
			b.reply(x, []response{{Truncated: true}, {RCode: dnsmessage.RCodeFormatError}}[value%2])
		case 7:
			b.reply(x, response{Change: func(m *dnsmessage.Message) { m.ID++ }})
		}
	}
	check := func() {
		if b.lookups > 4 || len(b.cache.byName) > 3 || len(b.open) != len(b.queries) || len(b.queries) > b.lookups {
			t.Fatalf("%d lookups, %d cached, %d exchanges, %d queries", b.lookups, len(b.cache.byName), len(b.open), len(b.queries))
		}
	}
	for _, v := range script {
		step(v)
		check()
	}
	for range 1000 {
		if len(b.open) == 0 {
			break
		}
		b.timeOut(b.open[0])
	}
	b.idle()
	if len(b.ended)+len(cancelled) != len(begun) {
		t.Errorf("of %d lookups %d have ended and %d were cancelled", len(begun), len(b.ended), len(cancelled))
	}
}

package dns

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const www = "www.example.org."

var (
	address  = answers(a(www, 60, "192.0.2.1"))
	servfail = response{RCode: dnsmessage.RCodeServerFailure}
	both     = []netip.AddrPort{server1, server2}
)

// TestRounds: RFC1123-6.1.3.3-1, RFC1123-6.1.3.3-2: counts the tries of a name for which nobody answers, and how long
// each waits.
func TestRounds(t *testing.T) {
	b := newBench(t, Config{Servers: both})
	l := b.look(www)
	for _, limit := range []time.Duration{2, 4, 8} {
		for _, server := range both {
			x := b.asked(server, www, false)
			if x.limit != limit*time.Second {
				t.Errorf("a server is waited for %v, want %d s", x.limit, limit)
			}
			b.timeOut(x)
		}
	}
	b.wantError(l, "lookup x on 10.0.0.2:53: i/o timeout")
	b.idle()
	if b.stats.Queries.Load() != 6 || b.stats.Timeouts.Load() != 6 {
		t.Errorf("%d queries, %d timeouts", b.stats.Queries.Load(), b.stats.Timeouts.Load())
	}
}

// TestLimits: RFC1123-6.1.3.3-5: checks the times that servers are waited for.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		timeout time.Duration
		want    []time.Duration
	}{
		{0, []time.Duration{2, 4, 8, 10, 10}},
		{3 * time.Second, []time.Duration{3, 6, 10, 10, 10}},
		{time.Minute, []time.Duration{60, 60, 60, 60, 60}}, // as the user says
	} {
		b := newBench(t, Config{Timeout: c.timeout, Attempts: 5})
		l := b.look(www)
		for _, want := range c.want {
			x := b.asked(server1, www, false)
			if x.limit != want*time.Second {
				t.Errorf("timeout %v: waits for %v, want %d s", c.timeout, x.limit, want)
			}
			b.timeOut(x)
		}
		if !l.ended {
			t.Error("the lookup goes on")
		}
	}
}

// TestEachReply: RFC1123-6.1.3.1-1, RFC1123-6.1.3.2-1, RFC1123-6.1.3.2-2, RFC6891-6.2.2: gives each kind of reply to the first of two servers, and looks at
// what follows.
func TestEachReply(t *testing.T) {
	formerr := response{RCode: dnsmessage.RCodeFormatError}
	for _, c := range []struct {
		what   string
		first  response
		next   netip.AddrPort // who is asked next; zero: nobody
		stream bool
		edns   bool
	}{
		{"an address", address, netip.AddrPort{}, false, false},
		{"no such name", response{RCode: dnsmessage.RCodeNameError}, netip.AddrPort{}, false, false},
		{"SERVFAIL", servfail, server2, false, true},
		{"REFUSED", response{RCode: dnsmessage.RCodeRefused}, server2, false, true},
		{"lame", response{NoRecursion: true}, server2, false, true},
		{"loop", answers(cname(www, 9, www)), server2, false, true},
		{"truncated", response{Truncated: true}, server1, true, true},
		{"FORMERR", formerr, server1, false, false},
	} {
		b := newBench(t, Config{Servers: both})
		l := b.look(www)
		first := b.asked(server1, www, false)
		b.reply(first, c.first)
		if !c.next.IsValid() {
			if !l.ended {
				t.Errorf("%s: the lookup goes on", c.what)
			}
			b.idle()
			continue
		}
		x := b.asked(c.next, www, c.stream)
		if x.edns != c.edns || x.id == first.id {
			t.Errorf("%s: EDNS %v, id %d after %d", c.what, x.edns, x.id, first.id)
		}
		b.reply(first, address) // which is over
		if l.ended {
			t.Errorf("%s: a reply to the first query counts after it", c.what)
		}
		b.reply(x, address)
		b.wantAddrs(l, "192.0.2.1")
		b.idle()
	}
}

// TestAllMisbehave ends after one round in which all have said that they cannot.
func TestAllMisbehave(t *testing.T) {
	b := newBench(t, Config{Servers: both})
	l := b.look(www)
	b.reply(b.asked(server1, www, false), servfail)
	b.reply(b.asked(server2, www, false), servfail)
	b.wantError(l, "lookup x on 10.0.0.2:53: server misbehaving")
	b.idle()

	b = newBench(t, Config{Servers: both}) // one does not answer: there is another round
	l = b.look(www)
	b.timeOut(b.asked(server1, www, false))
	b.reply(b.asked(server2, www, false), servfail)
	b.reply(b.asked(server1, www, false), servfail)
	b.reply(b.asked(server2, www, false), address)
	b.wantAddrs(l, "192.0.2.1")
}

// TestSocketError goes on at once.
func TestSocketError(t *testing.T) {
	b := newBench(t, Config{Servers: both})
	l := b.look(www)
	b.fail(b.asked(server1, www, false), syscall.ECONNREFUSED)
	b.reply(b.asked(server2, www, false), address)
	b.wantAddrs(l, "192.0.2.1")
	if b.stats.SocketErrs.Load() != 1 {
		t.Error("it is not counted")
	}
}

// TestServerAvoided asks one that did not answer last, for a while.
func TestServerAvoided(t *testing.T) {
	b := newBench(t, Config{Servers: both})
	b.look(www)
	b.timeOut(b.asked(server1, www, false))
	b.reply(b.asked(server2, www, false), address)
	b.look("b.example.org.")
	b.reply(b.asked(server2, "b.example.org.", false), answers(a("b.example.org.", 60, "192.0.2.2")))
	b.pass(avoidFor)
	b.look("c.example.org.")
	b.asked(server1, "c.example.org.", false)

	b = newBench(t, Config{Servers: both}) // it answers later
	b.look(www)
	b.timeOut(b.asked(server1, www, false))
	b.reply(b.asked(server2, www, false), servfail)
	b.reply(b.asked(server1, www, false), address)
	b.look("b.example.org.")
	b.asked(server1, "b.example.org.", false)
}

// TestWithoutEDNS remembers who did not understand it, for a while.
func TestWithoutEDNS(t *testing.T) {
	b := newBench(t, Config{})
	l := b.look(www)
	b.reply(b.asked(server1, www, false), response{RCode: dnsmessage.RCodeNotImplemented})
	b.reply(b.asked(server1, www, false), response{RCode: dnsmessage.RCodeNotImplemented})
	b.wantError(l, "lookup x on 10.0.0.1:53: server misbehaving")
	b.idle()
	for _, c := range []struct {
		after time.Duration
		edns  bool
	}{{failureTTL, false}, {plainFor, true}} {
		b.pass(c.after)
		b.look(www)
		x := b.asked(server1, www, false)
		if x.edns != c.edns {
			t.Errorf("EDNS %v after %v", x.edns, c.after)
		}
		b.reply(x, servfail)
	}
}

// TestTruncatedByTCP: RFC1123-6.1.3.2-2: believes what comes by TCP, whatever TC says.
func TestTruncatedByTCP(t *testing.T) {
	b := newBench(t, Config{})
	l := b.look(www)
	b.reply(b.asked(server1, www, false), response{Truncated: true})
	b.reply(b.asked(server1, www, true), response{Truncated: true, Answers: address.Answers})
	b.wantAddrs(l, "192.0.2.1")

	b = newBench(t, Config{TCP: true})
	l = b.look(www)
	b.reply(b.asked(server1, www, true), response{RCode: dnsmessage.RCodeFormatError})
	b.reply(b.asked(server1, www, true), address)
	b.wantAddrs(l, "192.0.2.1")

	b = newBench(t, Config{Servers: both}) // no TCP at the first
	l = b.look(www)
	b.reply(b.asked(server1, www, false), response{Truncated: true})
	b.fail(b.asked(server1, www, true), syscall.ECONNREFUSED)
	b.reply(b.asked(server2, www, false), address)
	b.wantAddrs(l, "192.0.2.1")
}

// TestTruncatedNotKept: RFC1123-6.1.3.2-3: nothing of a truncated reply is there for the
// next lookup.
func TestTruncatedNotKept(t *testing.T) {
	b := newBench(t, Config{})
	l := b.look(www)
	b.reply(b.asked(server1, www, false), response{Truncated: true, Answers: address.Answers})
	b.cancel(l)
	b.settle()
	b.idle()
	b.look(www)
	b.asked(server1, www, false)
}

// TestForged: RFC5452-9.1, RFC5452-9.3: sends what is no reply to the query: it does not end it, and where
// there is much of it TCP is used.
func TestForged(t *testing.T) {
	evil := answers(a(www, 3600, "192.0.2.66"))
	for _, change := range []func(*dnsmessage.Message){
		func(m *dnsmessage.Message) { m.ID++ },
		func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("ww.example.org.") },
	} {
		b := newBench(t, Config{})
		l := b.look(www)
		x := b.asked(server1, www, false)
		evil.Change = change
		for range maxForged - 1 {
			b.reply(x, evil)
		}
		b.asked(server1, www, false)
		if n := b.stats.DropUnasked.Load(); n != maxForged-1 {
			t.Errorf("%d dropped", n)
		}
		b.reply(x, evil)
		x = b.asked(server1, www, true)
		for range 2 * maxForged {
			b.reply(x, evil)
		}
		if n := b.stats.QueriesTCP.Load(); n != 1 {
			t.Errorf("%d queries by TCP", n)
		}
		b.reply(b.asked(server1, www, true), address)
		b.wantAddrs(l, "192.0.2.1")
		b.idle()
	}

	b := newBench(t, Config{}) // each query has its own count
	b.look(www)
	for range 2 {
		x := b.asked(server1, www, false)
		for range maxForged - 1 {
			b.reply(x, evil)
		}
		b.timeOut(x)
	}
	b.asked(server1, www, false)
}

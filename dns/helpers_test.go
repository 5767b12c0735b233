package dns

import (
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/testing/dnstest"
)

var (
	server1 = netip.MustParseAddrPort("10.0.0.1:53")
	server2 = netip.MustParseAddrPort("10.0.0.2:53")
)

// A bench is a machine, the exchanges that it has open, and an instant.
type bench struct {
	*machine
	t     *testing.T
	now   time.Time
	open  []*exchange // in the order in which they were opened
	ended []*lookup
}

// newBench returns a machine with ids that count from 1.
func newBench(t *testing.T, cfg Config) *bench {
	id := uint64(0)
	cfg.Random = func() uint64 { id++; return id }
	if cfg.Servers == nil {
		cfg.Servers = []netip.AddrPort{server1}
	}
	return &bench{machine: newMachine(cfg, &Stats{}), t: t, now: time.Unix(1e9, 0)}
}

// settle does what the machine wants done.
func (b *bench) settle() {
	for _, a := range b.output() {
		switch {
		case a.open != nil:
			b.open = append(b.open, a.open)
		case a.close != nil:
			i := slices.Index(b.open, a.close)
			if i < 0 {
				b.t.Fatal("an exchange is closed that is not open")
			}
			b.open = slices.Delete(b.open, i, i+1)
		case a.answer != nil:
			b.ended = append(b.ended, a.answer)
		}
	}
}

// look begins a lookup of addresses as a user would.
func (b *bench) look(name string) *lookup {
	b.t.Helper()
	l := &lookup{candidates: b.cfg.candidates(name), kinds: types()}
	if len(l.candidates) == 0 {
		b.t.Fatalf("%q is no name", name)
	}
	b.begin(b.now, l)
	b.settle()
	return l
}

// pass lets time pass. Nothing happens by that alone.
func (b *bench) pass(d time.Duration) { b.now = b.now.Add(d) }

// asked is the only exchange that is open, which must be with server for name.
func (b *bench) asked(server netip.AddrPort, name string, stream bool) *exchange {
	b.t.Helper()
	if len(b.open) != 1 {
		b.t.Fatalf("%d exchanges are open, want the one for %s", len(b.open), name)
	}
	x := b.open[0]
	if x.server.addr != server || x.query.name != name || x.stream != stream {
		b.t.Fatalf("%v is asked for %s, stream %v; want %v, %s, %v", x.server.addr, x.query.name, x.stream, server, name, stream)
	}
	return x
}

// reply has x answered.
func (b *bench) reply(x *exchange, r response) {
	b.t.Helper()
	b.received(b.now, x, to(b.t, r, x.message))
	b.settle()
}

// timeOut has x get no answer.
func (b *bench) timeOut(x *exchange) {
	b.pass(x.limit)
	b.fail(x, os.ErrDeadlineExceeded)
}

func (b *bench) fail(x *exchange, err error) {
	i := slices.Index(b.open, x)
	b.open = slices.Delete(b.open, i, i+1)
	b.failed(b.now, x, err)
	b.settle()
}

// wantAddrs checks that l has ended with these addresses.
func (b *bench) wantAddrs(l *lookup, addrs ...string) {
	b.t.Helper()
	var got []string
	for _, a := range l.result.addrs {
		got = append(got, a.String())
	}
	if !l.ended || l.result.status != found || !slices.Equal(got, addrs) {
		b.t.Errorf("lookup: ended %v, status %d, error %v, addresses %v; want %v", l.ended, l.result.status, l.result.err, got, addrs)
	}
}

// wantError checks that l has ended with a net.DNSError of this text.
func (b *bench) wantError(l *lookup, text string) {
	b.t.Helper()
	if err := l.result.dnsError("x"); !l.ended || err == nil || err.Error() != text {
		b.t.Errorf("lookup: ended %v, error %v; want %s", l.ended, err, text)
	}
}

// idle checks that nothing is left of lookups.
func (b *bench) idle() {
	b.t.Helper()
	if len(b.open) != 0 || len(b.queries) != 0 || b.lookups != 0 {
		b.t.Errorf("%d exchanges, %d queries and %d lookups are left", len(b.open), len(b.queries), b.lookups)
	}
}

// What servers say.
type response = dnstest.Response

var answers, a, cname, ptr, ns, soa, opt = dnstest.Answers, dnstest.A, dnstest.CNAME, dnstest.PTR, dnstest.NS, dnstest.SOA, dnstest.OPT

// to is r as a message to query.
func to(t testing.TB, r response, query []byte) []byte {
	t.Helper()
	msg, err := r.To(query)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// startRun runs Run until the test ends.
func startRun(t *testing.T, cfg Config, stats *Stats) *Resolver {
	calls, quit, ended := edge.New[Call](0, nil), make(chan struct{}), make(chan struct{})
	go func() {
		Run(calls.In(), quit, cfg, stats)
		close(ended)
	}()
	t.Cleanup(func() { close(quit); <-ended })
	return NewResolver(calls.Out(), ended, cfg)
}

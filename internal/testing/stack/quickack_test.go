package stack

import (
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
)

// segmentsFor is how many segments the second of two hosts, which are 10 ms
// apart, sends for a piece of work, and how long that takes.
func segmentsFor(t *testing.T, cfg tcp.Config, work func(a, b *tcp.Conn)) (n uint64, took time.Duration) {
	la, lb := link.Pipe(link.PipeConfig{})
	la = link.Impair(la, link.Impairment{Delay: 5 * time.Millisecond})
	host := func(l link.Link, addr string) *gonet.Stack {
		s, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix(addr), TCP: cfg})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := host(la, "10.0.0.1/24"), host(lb, "10.0.0.2/24")
	defer a.Close()
	defer b.Close()
	ca, cb := connect(t, a, b, "10.0.0.2:0")
	before, began := b.Stats()["tcp.OutSegments"], time.Now()
	work(ca, cb)
	took = time.Since(began)
	ca.Close()
	cb.Close()
	synctest.Wait()
	return b.Stats()["tcp.OutSegments"] - before, took
}

// TestQuickACKsCostLittle: acknowledgements that do not wait are some at the
// beginning of a connection, and none where requests are answered; and they cost
// no time.
func TestQuickACKsCostLittle(t *testing.T) {
	for _, c := range []struct {
		name string
		most uint64 // how many more
		work func(a, b *tcp.Conn)
	}{
		{"bulk", 16, func(a, b *tcp.Conn) {
			go func() { a.Write(make([]byte, 3_000_000)); a.CloseWrite() }()
			io.Copy(io.Discard, b)
		}},
		{"1000 requests", 1, func(a, b *tcp.Conn) {
			go io.Copy(b, b)
			for range 1000 {
				a.Write([]byte{1})
				io.ReadFull(a, make([]byte, 1))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				slow, slowTook := segmentsFor(t, tcp.Config{NoQuickACKs: true}, c.work)
				quick, took := segmentsFor(t, tcp.Config{}, c.work)
				t.Logf("%d segments and %v, with delays %d and %v", quick, took, slow, slowTook)
				if quick > slow+c.most || took > slowTook+slowTook/100 {
					t.Errorf("it costs %d segments, want %d at most, and %v", int(quick-slow), c.most, took-slowTook)
				}
			})
		})
	}
}

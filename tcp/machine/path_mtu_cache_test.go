package machine

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
)

// TestPathMTUs: RFC1191-6.2, RFC1191-6.3: what is learnt is known for ten minutes, and what is
// repeated does not become younger.
func TestPathMTUs(t *testing.T) {
	q := pathMTUs{limit: maxPathMTUs}
	a, now := netip.AddrFrom4([4]byte{10, 0, 0, 2}), tcptest.Start
	known := func(want int) {
		t.Helper()
		e, ok := q.lookup(now, a)
		if got := e.mtu; ok && got != want || ok != (want != 0) {
			t.Errorf("after %v: %d, %v, want %d", now.Sub(tcptest.Start), got, ok, want)
		}
	}
	known(0)
	q.learn(now, a, 1000, 1500)
	known(1000)
	now = now.Add(9 * time.Minute)
	q.learn(now, a, 1000, 1500)
	known(1000)
	now = now.Add(time.Minute)
	known(0)
	q.learn(now, a, 1400, 1500)
	now = now.Add(9 * time.Minute)
	q.learn(now, a, 900, 1500)
	now = now.Add(9 * time.Minute)
	known(900)
	q.learn(now, a, 1500, 1500)
	known(0)
}

// TestPathMTUsBounded: the table takes no more when it is full, whoever fills it,
// and nothing that is there goes before its time.
func TestPathMTUsBounded(t *testing.T) {
	q := pathMTUs{limit: maxPathMTUs, random: rand.New(rand.NewPCG(1, 2)).Uint64}
	addr := func(i int) netip.Addr {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i))
		return netip.AddrFrom4(a)
	}
	for i := range 3 * maxPathMTUs {
		q.learn(tcptest.Start, addr(i), 1000, 1500)
		q.learn(tcptest.Start.Add(time.Duration(i)), addr(0), 1000+i%2, 1500) // again and again
		if len(q.byAddr) > maxPathMTUs || q.queue.Len() > 2*maxPathMTUs {
			t.Fatalf("%d entries, %d places", len(q.byAddr), q.queue.Len())
		}
	}
	if n := len(q.byAddr); n < maxPathMTUs*9/10 {
		t.Errorf("%d entries are there when many more were to be had", n)
	}
	for i := range maxPathMTUs / 2 {
		if _, ok := q.lookup(tcptest.Start, addr(i)); !ok {
			t.Fatalf("entry %d is gone", i)
		}
	}
	q.learn(tcptest.Start.Add(time.Hour), addr(7), 1000, 1500)
	if len(q.byAddr) != 1 || q.queue.Len() != 1 {
		t.Errorf("an hour later: %d entries, %d places", len(q.byAddr), q.queue.Len())
	}
}

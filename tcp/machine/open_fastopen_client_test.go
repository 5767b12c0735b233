package machine

import (
	"net/netip"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestServers: RFC7413-4.1.3: the cache of cookies is bounded, and knows pauses
// and refusals.
func TestServers(t *testing.T) {
	c := servers{limit: 10}
	good := segment.Cookie{Present: true, Len: 4, Value: [segment.MaxCookie]byte{1, 2, 3, 4}}
	to := func(i int) ip.Flow {
		return tcptest.FlowOf("10.0.0.1", 0, netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}).String(), 80)
	}
	for i := range 100 {
		c.learn(tcptest.Start, to(i), &FastOpen{granted: good, mss: 1000 + i})
		c.learn(tcptest.Start, to(200), &FastOpen{mss: 1000}) // one that gives none
		if len(c.byPath) > c.limit || c.queue.Len() != len(c.byPath) {
			t.Fatalf("%d servers in %d places", len(c.byPath), c.queue.Len())
		}
	}
	if o := c.attempt(tcptest.Start, to(99)); o.offer != good || o.mss != 1099 {
		t.Errorf("the newest has %+v", o)
	}
	if o := c.attempt(tcptest.Start, to(80)); o.offer.Has() || !o.offer.Present {
		t.Errorf("one that is forgotten has %+v", o)
	}
	c.learn(tcptest.Start, to(99), &FastOpen{text: 10, mss: 1460})
	if o := c.attempt(tcptest.Start, to(99)); o.offer.Has() || o.mss != 1460 {
		t.Errorf("one that refused it has %+v", o)
	}
	c.learn(tcptest.Start, to(98), &FastOpen{timedOut: true})
	if o := c.attempt(tcptest.Start.Add(fastOpenPause-1), to(98)); o != nil {
		t.Errorf("after a timeout there is %+v", o)
	}
	if o := c.attempt(tcptest.Start.Add(fastOpenPause), to(98)); o == nil || o.offer != good {
		t.Errorf("after the pause there is %+v", o)
	}
}

package tcp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ip"
)

// TestPathMTUs: RFC1191-6.2, RFC1191-6.3: what is learnt is known for ten minutes, and what is
// repeated does not become younger.
func TestPathMTUs(t *testing.T) {
	q := pathMTUs{limit: maxPathMTUs}
	a, now := netip.AddrFrom4([4]byte{10, 0, 0, 2}), start
	known := func(want int) {
		t.Helper()
		e, ok := q.lookup(now, a)
		if got := e.mtu; ok && got != want || ok != (want != 0) {
			t.Errorf("after %v: %d, %v, want %d", now.Sub(start), got, ok, want)
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
		q.learn(start, addr(i), 1000, 1500)
		q.learn(start.Add(time.Duration(i)), addr(0), 1000+i%2, 1500) // again and again
		if len(q.byAddr) > maxPathMTUs || q.queue.Len() > 2*maxPathMTUs {
			t.Fatalf("%d entries, %d places", len(q.byAddr), q.queue.Len())
		}
	}
	if n := len(q.byAddr); n < maxPathMTUs*9/10 {
		t.Errorf("%d entries are there when many more were to be had", n)
	}
	for i := range maxPathMTUs / 2 {
		if _, ok := q.lookup(start, addr(i)); !ok {
			t.Fatalf("entry %d is gone", i)
		}
	}
	q.learn(start.Add(time.Hour), addr(7), 1000, 1500)
	if len(q.byAddr) != 1 || q.queue.Len() != 1 {
		t.Errorf("an hour later: %d entries, %d places", len(q.byAddr), q.queue.Len())
	}
}

// TestPathMTUIsShared: RFC1191-6.2, MUST-67: what a router has told one connection, later ones
// know, and the MSS that they offer is still that of the link; and what a connection
// has found out is known after its end.
func TestPathMTUIsShared(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		wantMSS := func(c *Conn, want int) {
			t.Helper()
			if i := c.Info(); i.SendMSS != want {
				t.Errorf("MSS %d, path MTU %d, want %d", i.SendMSS, i.PathMTU, want)
			}
		}
		first := p.connected()
		if _, err := first.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		p.want("a segment", "P. 1:1001(1000) ack 1")
		p.icmpErrors.Out().Send(tooBigFor(p, 800))
		if s := p.want("again, cut smaller", "P. 1:1001(1000) ack 1"); s.train != 760 {
			t.Errorf("cut into segments of %d", s.train)
		}
		wantMSS(first, 760)
		second := p.connected()
		wantMSS(second, 760)
		p.send("R. 1:1(0) ack 1")
		p.flow = peerFlow(1)
		wantMSS(p.accepted(p.listen()), 760)

		p.send("[peer 2] S 0:0(0) win 60000 <mss 1000>")
		s := p.want("the MSS of the link is offered", "S. 0:0(0) ack 1")
		if s.opts.mss != 1460 {
			t.Errorf("MSS %d is offered", s.opts.mss)
		}
	})
}

// TestPathMTUOfEnded: RFC1191-6.2: what a connection has found out by itself is known after its end.
func TestPathMTUOfEnded(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		first := p.connected()
		first.Write(make([]byte, 1000))
		p.want("of full size", "P. 1:1001(1000) ack 1")
		found := first.Info().PathMTU
		for range 30 { // a black hole: nothing so large arrives
			time.Sleep(time.Second)
			for s := p.next(); s != nil; s = p.next() {
				if s.seq == p.iss+1 && s.len < 1000 {
					p.send(fmt.Sprintf(". 1:1(0) ack %d win 60000", 1+s.len))
				}
			}
		}
		if found = first.Info().PathMTU; found >= 1040 {
			t.Fatalf("path MTU %d", found)
		}
		p.send(". 1:1(0) ack 1001 win 60000")
		p.send("R. 1:1(0) ack 1001")
		if i := p.connected().Info(); i.PathMTU != found {
			t.Errorf("path MTU %d after the end of the connection that has found %d", i.PathMTU, found)
		}
	})
}

// tooBigFor is what a router says of the newest connection's first segment.
func tooBigFor(p *peer, mtu int) ip.ICMPError {
	r := ip.ICMPError{Type: ip.TypeUnreachable, Code: ip.CodeFragmentationNeeded, MTU: mtu, Protocol: ip.ProtocolTCP}
	r.Src, r.Dst = p.flow.Local.Addr(), p.flow.Remote.Addr()
	binary.BigEndian.PutUint16(r.Transport[0:], p.flow.Local.Port)
	binary.BigEndian.PutUint16(r.Transport[2:], p.flow.Remote.Port)
	binary.BigEndian.PutUint32(r.Transport[4:], uint32(p.iss+1))
	return r
}

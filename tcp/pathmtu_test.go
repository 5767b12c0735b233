package tcp

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
)

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
		if s := p.want("again, cut smaller", "P. 1:1001(1000) ack 1"); s.Train != 760 {
			t.Errorf("cut into segments of %d", s.Train)
		}
		wantMSS(first, 760)
		second := p.connected()
		wantMSS(second, 760)
		p.send("R. 1:1(0) ack 1")
		p.flow = tcptest.PeerFlow(1)
		wantMSS(p.accepted(p.listen()), 760)

		p.send("[peer 2] S 0:0(0) win 60000 <mss 1000>")
		s := p.want("the MSS of the link is offered", "S. 0:0(0) ack 1")
		if s.Opts.MSS != 1460 {
			t.Errorf("MSS %d is offered", s.Opts.MSS)
		}
	})
}

// TestPathMTUOfEnded: RFC1191-6.2: what a connection has found out by itself is known after its end.
func TestPathMTUOfEnded(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		first := p.connected()
		first.Write(make([]byte, 1000))
		p.want("of full size", "P. 1:1001(1000) ack 1")
		for range 30 { // a black hole: nothing so large arrives
			time.Sleep(time.Second)
			for s := p.next(); s != nil; s = p.next() {
				if s.Seq == p.iss+1 && s.Len < 1000 {
					p.send(fmt.Sprintf(". 1:1(0) ack %d win 60000", 1+s.Len))
				}
			}
		}
		found := first.Info().PathMTU
		if found >= 1040 {
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

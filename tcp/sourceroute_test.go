package tcp

import (
	"bytes"
	"context"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// gateways are addresses behind the stack's link, or somewhere.
func gateways(n int) (all []netip.Addr) {
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, 0, byte(101 + i)}))
	}
	return all
}

// wantWay takes the next segment, which must go to dst and have the IP options,
// and returns it.
func (p *peer) wantWay(why, dst string, option ...byte) segment.Segment {
	p.t.Helper()
	synctest.Wait()
	if len(p.out) == 0 {
		p.t.Fatalf("%s: nothing is sent", why)
	}
	b := <-p.out
	defer b.Release()
	network := ipv4.Header(b.Bytes())
	if network.Dst().String() != dst || !bytes.Equal(network.Options(), option) {
		p.t.Errorf("%s: sent to %v with options %v, want %s and %v", why, network.Dst(), network.Options(), dst, option)
	}
	h := segment.Header(b.Bytes()[network.Len():])
	s := segment.Segment{Seq: h.Seq(), Len: len(h) - h.Len(), Train: b.SegmentSize}
	if s.Train == 0 {
		b.CompleteChecksum()
		sum := ip.PseudoSum(tcptest.HostAddr, tcptest.PeerAddr, ip.ProtocolTCP, len(h)) // the peer, not the gateway
		if checksum.Fold(checksum.Sum(h, sum)) != 0xffff {
			p.t.Errorf("%s: bad checksum", why)
		}
	}
	return s
}

// sendBy has a segment arrive that came by way of gateways, all passed.
func (p *peer) sendBy(text string, gateways ...netip.Addr) {
	p.t.Helper()
	s, err := tcptest.ParseSpec(text, p.irs, p.iss)
	if err != nil {
		p.t.Fatal(err)
	}
	option := []byte{ipv4.OptionLooseRoute, byte(3 + 4*len(gateways)), byte(4 + 4*len(gateways))}
	for _, g := range gateways {
		option = append(option, g.AsSlice()...)
	}
	b := tcptest.WireBy(s.Segment, ip.Flow{Local: p.flow.Remote, Remote: p.flow.Local}, nil, append(option, ipv4.OptionEnd))
	b.Arrived = time.Now()
	p.in <- b
	synctest.Wait()
}

// TestDialByRoute: MUST-51, MUST-52, MUST-16: a connection goes the way that its
// user wants, all of it, and a route that the peer uses does not change that. The
// option takes its room from the text.
func TestDialByRoute(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		ch := make(chan dialed, 1)
		go func() {
			c, err := p.sockets.DialWith(context.Background(), netip.AddrPortFrom(tcptest.PeerAddr, 80),
				DialOptions{Local: netip.AddrPortFrom(tcptest.HostAddr, 40001), SourceRoute: gateways(2)})
			ch <- dialed{c, err}
		}()
		route := []byte{131, 11, 4, 10, 0, 0, 102, 10, 0, 0, 2, 0}
		syn := p.wantWay("the SYN", "10.0.0.101", route...)
		p.flow = ip.Flow{Local: ip.EndpointOf(tcptest.HostAddr, 40001), Remote: ip.EndpointOf(tcptest.PeerAddr, 80)}
		p.iss = syn.Seq
		p.sendBy("S. 0:0(0) ack 1 win 60000 <mss 1460>", gateways(5)...)
		p.wantWay("the third segment", "10.0.0.101", route...)
		c := (<-ch).c
		if mss := c.Info().SendMSS; mss != 1460-12 {
			t.Errorf("MSS %d", mss)
		}
		p.sendBy(". 1:1(0) ack 1 win 60000", gateways(5)...)
		if _, err := c.Write(make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		if s := p.wantWay("text", "10.0.0.101", route...); s.Len != 5000 || s.Train != 1460-12 {
			t.Errorf("%d bytes in segments of %d", s.Len, s.Train)
		}
	})
}

// TestAcceptByRoute: MUST-53, SHLD-24, RFC1122-3.2.1.8-8: what came by a source
// route is answered by the way back, from the SYN on; the latest route counts, and
// the last one stays when there is no other.
func TestAcceptByRoute(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		g := gateways(2)
		back := []byte{131, 11, 4, 10, 0, 0, 101, 10, 0, 0, 2, 0}
		p.sendBy("S 0:0(0) win 60000 <mss 1460>", g...)
		synACK := p.wantWay("the SYN-ACK", "10.0.0.102", back...)
		p.iss = synACK.Seq
		time.Sleep(time.Second)
		p.wantWay("the SYN-ACK again", "10.0.0.102", back...)
		p.sendBy(". 1:1(0) ack 1 win 60000", g...)
		c, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		write := func(why, dst string, option ...byte) {
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			p.wantWay(why, dst, option...)
		}
		write("text", "10.0.0.102", back...)
		p.sendBy(". 1:1(0) ack 2 win 60000", g[0])
		write("after another route", "10.0.0.101", 131, 7, 4, 10, 0, 0, 2, 0)
		p.send(". 1:1(0) ack 3 win 60000")
		write("after none", "10.0.0.101", 131, 7, 4, 10, 0, 0, 2, 0)
		if mss := c.Info().SendMSS; mss != 1460-8 {
			t.Errorf("MSS %d", mss)
		}
		p.sendBy(". 90001:90001(0) ack 4 win 60000", gateways(3)...)
		p.wantWay("what is out of the window changes nothing", "10.0.0.101", 131, 7, 4, 10, 0, 0, 2, 0)
	})
}

// TestImpossibleRoutes: MUST-51, MUST-46: a route must have gateways that can be,
// and fit.
func TestImpossibleRoutes(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		for name, route := range map[string][]netip.Addr{
			"too long":  gateways(10),
			"group":     {netip.MustParseAddr("224.0.0.1")},
			"nobody":    {netip.MustParseAddr("0.0.0.0")},
			"version 6": {netip.MustParseAddr("fe80::1")},
			"invalid":   {{}},
		} {
			_, err := p.sockets.DialWith(context.Background(), netip.AddrPortFrom(tcptest.PeerAddr, 80), DialOptions{SourceRoute: route})
			wantError(t, name, err, syscall.EINVAL)
		}
		_, err := p.sockets.DialWith(context.Background(), netip.AddrPortFrom(tcptest.PeerAddr, 80),
			DialOptions{SourceRoute: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
		wantError(t, "a gateway that no route leads to", err, syscall.ENETUNREACH)
		p.wantIdle("no SYN goes out")
	})
}

package udp

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// Datagrams reach the socket they are for, and no other.
func TestDemux(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		wildcard := r.listen(t, "0.0.0.0:53")
		specific := r.listen(t, "10.0.0.2:54")
		connected := r.dial(t, "10.0.0.2:53", "10.0.0.9:7")
		for _, test := range []struct {
			src, dst string
			to       *Conn
		}{
			{"10.0.0.9:7", "10.0.0.2:53", connected},
			{"10.0.0.9:8", "10.0.0.2:53", wildcard},
			{"10.0.0.9:7", "172.16.0.2:53", wildcard},
			{"10.0.0.9:7", "127.0.0.1:53", wildcard},
			{"10.0.0.9:7", "10.0.0.2:54", specific},
			{"10.0.0.9:0", "10.0.0.2:54", specific}, // the sender wants no answer (RFC 768)
		} {
			r.in <- received(t, test.src, test.dst, test.src)
			wantRead(t, test.to, test.src, test.src)
		}
		for _, c := range []*Conn{wildcard, specific, connected} {
			if c.queue.len() > 0 || c.queued.Load() != 0 {
				t.Errorf("%v holds %d datagrams, %d bytes", c.LocalAddr(), c.queue.len(), c.queued.Load())
			}
		}
		if got := r.stats.RxDelivered.Load(); got != 6 {
			t.Errorf("%d delivered", got)
		}
	})
}

// RFC1122-4.1.3.1: port unreachable when nobody is there, with the datagram;
// and when ICMP is full it is dropped.
func TestDemuxPortUnreachable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		for range 2 {
			r.in <- received(t, "10.0.0.9:7", "10.0.0.2:53", "hello")
		}
		synctest.Wait()
		p := <-r.requests
		defer p.Packet.Release()
		h, err := ipv4.Parse(p.Packet.Network())
		if err != nil || p.Type != ip.TypeUnreachable || p.Code != ip.CodePortUnreachable || !bytes.HasSuffix(h, []byte("hello")) {
			t.Errorf("%+v, %v", p, err)
		}
		if s := &r.stats; s.DropNoSocket.Load() != 2 || s.ErrorRequestsFull.Load() != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// RFC1122-3.2.2-6, RFC1122-3.3.7-1: broadcasts and multicasts go to every socket
// that listens, and no error is sent when none does.
func TestDemuxGroups(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		wildcard := r.listen(t, "0.0.0.0:53")
		specific := r.dial(t, "10.0.0.2:53", "10.0.0.9:7")
		member, second := r.listen(t, "239.1.2.3:53"), r.listen(t, "239.1.2.3:53")
		other := r.listen(t, "239.9.9.9:53")
		bound := r.listen(t, "10.0.0.255:54")
		all := []*Conn{wildcard, specific, member, second, other, bound}
		for _, test := range []struct {
			src, dst string
			to       []*Conn
		}{
			{"10.0.0.9:7", "239.1.2.3:53", []*Conn{wildcard, member, second}},
			{"10.0.0.9:7", "239.9.9.9:53", []*Conn{wildcard, other}},
			{"10.0.0.9:7", "10.0.0.255:53", []*Conn{wildcard}},
			{"10.0.0.9:7", "255.255.255.255:53", []*Conn{wildcard}},
			{"0.0.0.0:68", "255.255.255.255:53", []*Conn{wildcard}},
			{"10.0.0.9:7", "10.0.0.255:54", []*Conn{bound}},
			{"10.0.0.9:7", "239.1.2.3:55", nil},
			{"10.0.0.9:7", "255.255.255.255:55", nil},
		} {
			r.in <- received(t, test.src, test.dst, "news")
			for _, c := range test.to {
				wantRead(t, c, "news", test.src)
			}
			synctest.Wait()
			for _, c := range all {
				if c.queue.len() > 0 {
					t.Errorf("%s was heard at %v too", test.dst, c.LocalAddr())
				}
			}
		}
		if len(r.requests) > 0 || r.stats.DropNoSocket.Load() != 2 {
			t.Errorf("%d requests, %d dropped", len(r.requests), r.stats.DropNoSocket.Load())
		}
	})
}

// RFC1122-4.1.3.4-2, RFC1122-4.1.3.6-1: bad checksums and sources are silently discarded.
func TestDemuxDiscards(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		bad := received(t, "10.0.0.9:7", "10.0.0.2:53", "hello")
		bad.Bytes()[9] ^= 1
		r.in <- bad
		short := received(t, "10.0.0.9:7", "10.0.0.2:53", "hello")
		short.Trim(9)
		r.in <- short
		for _, src := range []string{"10.0.0.255:7", "255.255.255.255:7", "224.0.0.1:7", "0.0.0.0:7"} {
			r.in <- received(t, src, "10.0.0.2:53", "hello")
		}
		synctest.Wait()
		if s := &r.stats; c.queue.len() > 0 || len(r.requests) > 0 || s.DropChecksum.Load() != 1 || s.DropLength.Load() != 1 || s.DropBadSource.Load() != 4 {
			t.Errorf("stats %+v", s)
		}
	})
}

// The end of Demux closes the sockets and releases what they hold. What ICMP has
// reported before it is told.
func TestDemuxEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		r.in <- received(t, "10.0.0.9:7", "10.0.0.2:53", "hello")
		r.errs.Out().Send(ip.ICMPError{Src: self, Dst: peer})
		r.finish()
		if n := r.stats.RxICMPErrors.Load(); n != 1 {
			t.Errorf("%d reports, want 1", n)
		}
		if !c.isClosed.Load() || c.queue.len() > 0 {
			t.Error("a socket was left open")
		}
	})
}

// FuzzDemux feeds mutated datagrams and reports to a Demux with sockets.
func FuzzDemux(f *testing.F) {
	f.Add([]byte{0, 53, 4, 0, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o'}, uint32(0x0a000009), uint32(0x0a000002))
	f.Add([]byte{0, 53, 4, 0, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o'}, uint32(0x0a000009), uint32(0xefc10203))
	f.Add([]byte{0, 53, 4, 0, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o'}, uint32(0), uint32(0xffffffff))
	table := testTable(f)
	f.Fuzz(func(t *testing.T, p []byte, src, dst uint32) {
		if len(p) > MaxSize+HeaderLen {
			return
		}
		live := packet.Live()
		errorRequests := make(chan ip.ErrorRequest, 1)
		d := newDemux(edge.To(errorRequests).Out(), Config{Table: table}, &Stats{})
		s := NewSockets(edge.Out[Call]{}, ip.Edges{}, edge.Out[ip.Membership]{}, nil, Config{Table: table}, d.stats)
		for _, local := range []string{"0.0.0.0:1024", "10.0.0.2:1025", "239.1.2.3:1024"} {
			c := s.newConn(addr(local), netip.AddrPort{})
			if err := d.table.bind(c); err != nil {
				t.Fatal(err)
			}
		}
		address := func(v uint32) netip.Addr {
			return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		}
		for range 2 {
			b := packet.From(p)
			ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolUDP, Src: address(src), Dst: address(dst)})
			d.datagram(deliver(t, b))
		}
		d.icmpError(ip.ICMPError{Src: address(dst), Dst: address(src), Transport: [8]byte(append(p, make([]byte, 8)...))})
		for len(errorRequests) > 0 {
			(<-errorRequests).Packet.Release()
		}
		d.close()
		if n := packet.Live() - live; n != 0 {
			t.Errorf("%d buffers not released", n)
		}
	})
}

// BenchmarkDeliver is one datagram through Demux to its reader, of the hundred
// sockets that there are.
func BenchmarkDeliver(b *testing.B) {
	d := newDemux(edge.Out[ip.ErrorRequest]{}, testConfig(b), &Stats{})
	s := NewSockets(edge.Out[Call]{}, ip.Edges{}, edge.Out[ip.Membership]{}, nil, testConfig(b), d.stats)
	for i := range 100 {
		if err := d.table.bind(s.newConn(netip.AddrPortFrom(anyAddr, uint16(1000+i)), netip.AddrPort{})); err != nil {
			b.Fatal(err)
		}
	}
	c := d.table.find(ip.Endpoint{Port: 1050}, ip.Endpoint{})
	whole := received(b, "10.0.0.9:7", "10.0.0.2:1050", string(make([]byte, 1472)))
	p := make([]byte, 2000)
	b.SetBytes(1472)
	b.ReportAllocs()
	for b.Loop() {
		d.datagram(whole.Clone())
		if n, from, err := c.ReadFromAddrPort(p); n != 1472 || from.Port() != 7 || err != nil {
			b.Fatal(n, from, err)
		}
	}
	whole.Release()
}

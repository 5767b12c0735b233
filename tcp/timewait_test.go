package tcp

import (
	"context"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/machine"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// inTimeWait dials with timestamps, and closes. The peer has local port 80.
func (p *peer) inTimeWait() {
	p.t.Helper()
	ch := p.dial(context.Background())
	p.want("a SYN", "S 0:0(0)")
	p.send("S. 0:0(0) ack 1 win 60000 <mss 1000,TS val 1000 ecr 0>")
	p.want("the third segment", ". 1:1(0) ack 1")
	(<-ch).c.Close()
	p.want("our FIN", "F. 1:1(0) ack 1")
	p.send("F. 1:1(0) ack 2 win 60000 <TS val 1000 ecr 0>")
	p.want("the last acknowledgement", ". 2:2(0) ack 2")
}

// TestDialReusesTimeWait: RFC6191-2, RFC9293-3.6.1: a port in TIME-WAIT can be
// dialled from a second later, where timestamps tell old from new; the new
// numbers are beyond the old.
func TestDialReusesTimeWait(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		p.inTimeWait()
		old, from := p.iss, p.flow.Local.AddrPort()
		dial := func() <-chan dialed {
			ch := make(chan dialed, 1)
			go func() {
				c, err := p.sockets.Dial(context.Background(), from, netip.AddrPortFrom(tcptest.PeerAddr, 80))
				ch <- dialed{c, err}
			}()
			return ch
		}
		time.Sleep(time.Second)
		wantError(t, "dial at once", (<-dial()).err, syscall.EADDRINUSE)
		time.Sleep(time.Millisecond)
		ch := dial()
		s := p.want("a SYN", "S 0:0(0)")
		if !p.iss.After(old.Add(2)) || !s.Opts.HasTimestamps {
			t.Errorf("ISS is %d beyond the old one, with %v", p.iss.Sub(old), &s.Opts)
		}
		p.send("F. 1:1(0) ack 2 win 60000 <TS val 1000 ecr 0>") // the old peer's, sent again
		p.want("it is reset, so that the peer can forget it", "R 2:2(0)")
		p.send("S. 9000:9000(0) ack 1 win 60000 <mss 1000,TS val 2001 ecr 0>")
		p.want("the new connection is there", ". 1:1(0) ack 9001")
		d := <-ch
		if d.err != nil || d.c.Info().State != Established || p.stats.TimeWaitsReused.Load() != 1 {
			t.Errorf("%v, %d reused", d.err, p.stats.TimeWaitsReused.Load())
		}
		p.send("P. 9001:9011(10) ack 1 win 60000 <TS val 1999 ecr 0>") // of the old one
		p.want("PAWS", ". 1:1(0) ack 9001")
		if n := p.stats.DropPAWS.Load(); n != 1 {
			t.Errorf("%d old segments dropped", n)
		}
	})
}

// endInTimeWait has a connection of f begin and end, with or without timestamps.
func (d *demux) endInTimeWait(t *testing.T, now time.Time, f ip.Flow, timestamps bool) {
	c := d.Open(now, f, &machine.ActiveOpen{Opts: d.Options()})
	take := func(s segment.Segment) {
		b := tcptest.Wire(s, ip.Flow{Local: f.Remote, Remote: f.Local}, nil)
		b.Arrived = now
		c.Arrives(b)
	}
	said := func() *tcptest.WireSegment {
		if !c.Next(now) {
			t.Fatalf("port %d: nothing is sent", f.Local.Port)
		}
		s := decode(t, c.Packet())
		c.Commit(now)
		return s
	}
	syn := said()
	take(segment.Segment{Seq: 7, Ack: syn.Seq + 1, Flags: segment.SYN | segment.ACK, Window: 1000, Opts: segment.Options{HasTimestamps: timestamps, TSVal: 1, TSEcr: syn.Opts.TSVal}})
	said()
	c.Close(now)
	fin := said()
	take(segment.Segment{Seq: 8, Ack: fin.End(), Flags: segment.FIN | segment.ACK, Window: 1000, Opts: segment.Options{HasTimestamps: timestamps, TSVal: 1, TSEcr: syn.Opts.TSVal}})
	said()
	c.End(now)
	d.Ended(now, c)
	d.Recycle(c)
}

// TestDialAllInTimeWait: RFC6191-2: when all ports to a destination are in
// TIME-WAIT one of them is taken; before that, none.
func TestDialAllInTimeWait(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		const first, last = 32768, 65535
		fill := func(from, to int, timestamps bool) {
			p.sockets.ask(func(now time.Time, d *demux) {
				for port := from; port <= to; port++ {
					d.endInTimeWait(t, now, ip.Flow{Local: ip.EndpointOf(tcptest.HostAddr, uint16(port)), Remote: ip.EndpointOf(tcptest.PeerAddr, 80)}, timestamps)
				}
			})
		}
		fill(first, last, false)
		d := <-p.dial(context.Background())
		wantError(t, "dial without timestamps", d.err, syscall.EADDRNOTAVAIL)
		fill(first+100, first+100, true)
		time.Sleep(2 * time.Second)
		p.dial(context.Background())
		if p.want("a SYN", "S 0:0(0)"); p.flow.Local.Port != first+100 {
			t.Errorf("from port %d", p.flow.Local.Port)
		}
		time.Sleep(time.Minute)
		p.drain()
		fill(first+1, last, true)
		time.Sleep(2 * time.Second)
		p.dial(context.Background())
		if p.want("a SYN", "S 0:0(0)"); p.flow.Local.Port != first {
			t.Errorf("from port %d, though one was free", p.flow.Local.Port)
		}
	})
}

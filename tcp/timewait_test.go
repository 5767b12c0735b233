package tcp

import (
	"context"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ip"
)

// TestTimeWaitsBounds: the table is bounded; the oldest makes room.
func TestTimeWaitsBounds(t *testing.T) {
	w := timeWaits{limit: 100}
	var stats Stats
	now := start
	for i := range 1000 {
		now = now.Add(time.Millisecond)
		w.add(peerFlow(i), timeWait{until: now.Add(time.Minute)}, &stats)
		if len(w.byFlow) > w.limit || w.queue.Len() > 2*w.limit {
			t.Fatalf("%d connections in %d places", len(w.byFlow), w.queue.Len())
		}
	}
	if _, ok := w.byFlow[peerFlow(999)]; !ok || len(w.byFlow) != w.limit || stats.TimeWaitsEvicted.Load() != 900 {
		t.Errorf("%d are there, %d evicted", len(w.byFlow), stats.TimeWaitsEvicted.Load())
	}
	w.expire(now.Add(time.Minute))
	if len(w.byFlow) != 0 || w.queue.Len() != 0 || !w.deadline().IsZero() {
		t.Errorf("%d are there after their time", len(w.byFlow))
	}
}

// TestTimeWaitsRestart: MUST-13: one peer that sends its FIN again and again pushes
// nobody else out, and its own wait ends 2 MSL after the last.
func TestTimeWaitsRestart(t *testing.T) {
	w := timeWaits{limit: 100}
	cfg := Config{}.withDefaults()
	var stats Stats
	other, noisy := peerFlow(1), peerFlow(2)
	now := start
	w.add(other, timeWait{until: now.Add(time.Minute)}, &stats)
	w.add(noisy, timeWait{sndNxt: 1, rcvNxt: 100, until: now.Add(time.Minute)}, &stats)
	for range 1000 {
		now = now.Add(time.Millisecond)
		fin := segment{seq: 99, ack: 1, flags: FIN | ACK}
		if _, answer, reopen := w.segmentArrives(now, noisy, &fin, &cfg, &stats); !answer || reopen {
			t.Fatal("the FIN is not acknowledged")
		}
		if w.queue.Len() > 2*w.limit+1 {
			t.Fatalf("%d places", w.queue.Len())
		}
	}
	if _, ok := w.byFlow[other]; !ok || stats.TimeWaitsEvicted.Load() != 0 {
		t.Errorf("the other connection is there: %v, evicted %d", ok, stats.TimeWaitsEvicted.Load())
	}
	w.expire(now.Add(time.Minute - time.Millisecond))
	if _, ok := w.byFlow[noisy]; !ok {
		t.Error("ended before 2 MSL")
	}
	w.expire(now.Add(time.Minute))
	if len(w.byFlow) != 0 {
		t.Error("not ended after 2 MSL")
	}
}

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
				c, err := p.sockets.Dial(context.Background(), from, netip.AddrPortFrom(peerAddr, 80))
				ch <- dialed{c, err}
			}()
			return ch
		}
		time.Sleep(time.Second)
		wantError(t, "dial at once", (<-dial()).err, syscall.EADDRINUSE)
		time.Sleep(time.Millisecond)
		ch := dial()
		s := p.want("a SYN", "S 0:0(0)")
		if !p.iss.after(old.add(2)) || !s.opts.hasTimestamps {
			t.Errorf("ISS is %d beyond the old one, with %v", p.iss.sub(old), &s.opts)
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
	c := d.open(now, f, &activeOpen{opts: d.options()})
	take := func(s segment) {
		b := wire(s, ip.Flow{Local: f.Remote, Remote: f.Local}, nil)
		b.Arrived = now
		c.arrives(b)
	}
	said := func() *wireSegment {
		if !c.next(now) {
			t.Fatalf("port %d: nothing is sent", f.Local.Port)
		}
		s := decode(t, c.packet())
		c.commit(now)
		return s
	}
	syn := said()
	take(segment{seq: 7, ack: syn.seq + 1, flags: SYN | ACK, window: 1000, opts: options{hasTimestamps: timestamps, tsVal: 1, tsEcr: syn.opts.tsVal}})
	said()
	c.close(now)
	fin := said()
	take(segment{seq: 8, ack: fin.end(), flags: FIN | ACK, window: 1000, opts: options{hasTimestamps: timestamps, tsVal: 1, tsEcr: syn.opts.tsVal}})
	said()
	c.end(now)
	d.ended(now, c)
	d.recycle(c)
}

// TestDialAllInTimeWait: RFC6191-2: when all ports to a destination are in
// TIME-WAIT one of them is taken; before that, none.
func TestDialAllInTimeWait(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		const first, last = 32768, 65535
		fill := func(from, to int, timestamps bool) {
			p.sockets.ask(func(now time.Time, d *demux) {
				for port := from; port <= to; port++ {
					d.endInTimeWait(t, now, ip.Flow{Local: ip.EndpointOf(hostAddr, uint16(port)), Remote: ip.EndpointOf(peerAddr, 80)}, timestamps)
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

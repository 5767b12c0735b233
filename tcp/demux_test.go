package tcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// TestAccept: MUST-41, MUST-42, MUST-43: listeners of one port that share it do not
// disturb each other, and the one of the address itself comes first. Without Share
// they are refused, as by Linux: a program must hear that another has its port.
func TestAccept(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		shared := ListenOptions{Share: ShareByTurn}
		all, err := p.sockets.ListenWith(addrPort("0.0.0.0:80"), shared)
		if err != nil {
			t.Fatal(err)
		}
		own, err := p.sockets.ListenWith(addrPort("10.0.0.1:80"), shared)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"10.0.0.1:80", "0.0.0.0:80", "127.0.0.1:80"} {
			_, err = p.sockets.Listen(addrPort(at))
			wantError(t, "listen again on "+at, err, syscall.EADDRINUSE)
		}
		_, err = p.sockets.Listen(addrPort("10.0.0.9:80"))
		wantError(t, "listen on an address of another host", err, syscall.EADDRNOTAVAIL)

		c := p.accepted(own)
		if c.LocalAddr().String() != "10.0.0.1:80" || c.RemoteAddr().String() != "10.0.0.2:40001" {
			t.Errorf("%v to %v", c.LocalAddr(), c.RemoteAddr())
		}
		if err := own.Close(); err != nil {
			t.Fatal(err)
		}
		p.flow = tcptest.PeerFlow(2)
		if c := p.accepted(all); c.RemoteAddr().String() != "10.0.0.2:40002" {
			t.Errorf("from %v", c.RemoteAddr())
		}
		p.flow = tcptest.PeerFlow(1)
	})
}

// TestAcceptQueueFull: when nobody accepts, SYNs are not answered; the peer tries again.
func TestAcceptQueueFull(t *testing.T) {
	withPeer(t, Config{Backlog: 1}, func(p *peer) {
		l := p.listen()
		p.send("S 0:0(0) win 60000 <mss 1000>")
		p.want("there is room", "S. 0:0(0) ack 1")
		first := p.iss
		p.flow = tcptest.PeerFlow(2)
		p.send("S 0:0(0) win 60000 <mss 1000>")
		p.want("still", "S. 0:0(0) ack 1")
		second := p.iss
		p.flow, p.iss = tcptest.PeerFlow(1), first
		p.send(". 1:1(0) ack 1 win 60000")
		p.flow, p.iss = tcptest.PeerFlow(2), second
		p.send("P. 1:11(10) ack 1 win 60000")
		p.wantIdle("no room for the second")
		p.flow = tcptest.PeerFlow(3)
		p.send("S 0:0(0) win 60000 <mss 1000>")
		p.wantIdle("and none for a third")
		if n := p.stats.DropAcceptFull.Load(); n != 2 {
			t.Errorf("%d dropped", n)
		}
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
		p.flow, p.iss = tcptest.PeerFlow(2), second
		p.send("P. 1:11(10) ack 1 win 60000")
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestListenerClose: Close wakes Accept, forgets the port, and resets who was not
// accepted, text and all.
func TestListenerClose(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		p.send("S 0:0(0) win 60000 <mss 1000>")
		p.want("the SYN is answered", "S. 0:0(0) ack 1")
		p.send("P. 1:101(100) ack 1 win 60000")
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		p.want("a reset for who waited", "R. 1:1(0) ack 101")
		_, err := l.Accept()
		wantError(t, "accept", err, net.ErrClosed)
		wantError(t, "second Close", l.Close(), net.ErrClosed)
		if l, err = p.sockets.Listen(l.passive.Local.AddrPort()); err != nil {
			t.Fatal(err)
		}
		accept := async(func() (int, error) { _, err := l.Accept(); return 0, err })
		pendingCall(t, "accept", accept)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		wantError(t, "accept", (<-accept).err, net.ErrClosed)
	})
}

// TestBadAddresses: MUST-57, MUST-63: nothing from or to a group is answered.
func TestBadAddresses(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		p.listen()
		good := p.flow
		for _, c := range []struct{ local, remote string }{
			{"224.0.0.1", "10.0.0.2"}, {"255.255.255.255", "10.0.0.2"}, {"10.0.0.255", "10.0.0.2"},
			{"10.0.0.1", "224.0.0.5"}, {"10.0.0.1", "255.255.255.255"}, {"10.0.0.1", "10.0.0.255"}, {"10.0.0.1", "0.0.0.0"},
		} {
			p.flow = good
			p.flow = tcptest.FlowOf(c.local, p.flow.Local.Port, c.remote, p.flow.Remote.Port)
			p.send("S 0:0(0) win 60000")
			p.wantIdle("a SYN from " + c.remote + " to " + c.local)
		}
		p.flow = good
		if n := p.stats.DropBadAddress.Load(); n != 7 {
			t.Errorf("%d dropped", n)
		}
	})
}

// TestTimeWaitProcess: MUST-13: the connection's goroutine has ended, the demultiplexer
// keeps TIME-WAIT, and its port is not used meanwhile.
func TestTimeWaitProcess(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		p.want("our FIN", "F. 1:1(0) ack 1")
		p.send("F. 1:1(0) ack 2 win 60000")
		p.want("the last acknowledgement", ". 2:2(0) ack 2")
		time.Sleep(time.Second)
		if all := p.sockets.Connections(); len(all) != 1 || all[0].State != TimeWait {
			t.Errorf("connections %v", all)
		}
		_, err := p.sockets.Dial(context.Background(), p.flow.Local.AddrPort(), p.flow.Remote.AddrPort())
		wantError(t, "dial from the same port", err, syscall.EADDRINUSE)
		p.send("F. 1:1(0) ack 2 win 60000")
		p.want("the FIN again", ". 2:2(0) ack 2")
		time.Sleep(61 * time.Second)
		if all := p.sockets.Connections(); len(all) != 0 {
			t.Errorf("connections %v", all)
		}
	})
}

// TestMalformed: MUST-3: what has a bad checksum or length is counted and dropped.
func TestMalformed(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		p.listen()
		for i, spoil := range []func(b []byte){
			func(b []byte) { b[4] ^= 1 }, func(b []byte) { b[12] = 0xf0 },
		} {
			b := tcptest.Wire(segment.Segment{Seq: 1, Flags: segment.SYN}, ip.Flow{Local: p.flow.Remote, Remote: p.flow.Local}, nil)
			b.Arrived = time.Now()
			spoil(b.Bytes())
			p.in <- b
			p.wantIdle("a bad segment")
			if p.stats.DropBadChecksum.Load() != 1 || p.stats.DropMalformed.Load() != uint64(i) {
				t.Errorf("%d: %d with a bad checksum, %d malformed", i, p.stats.DropBadChecksum.Load(), p.stats.DropMalformed.Load())
			}
		}
		b := tcptest.Wire(segment.Segment{Flags: segment.SYN}, ip.Flow{Local: p.flow.Remote, Remote: p.flow.Local}, nil)
		b.Trim(10)
		p.in <- b
		p.wantIdle("half a header")
	})
}

// TestNetworkBusy: a connection whose segments the network layer does not take
// goes on receiving and serving its user. What Transmit waits with says what was
// known when it began to wait; the rest follows.
func TestNetworkBusy(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		for range cap(p.out) {
			p.out <- tcptest.Wire(segment.Segment{}, p.flow, nil) // the queue is full of others' packets
		}
		if _, err := c.Write([]byte("text")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until Transmit waits
		p.send("P. 1:101(100) ack 1 win 60000")
		if n, err := c.Read(make([]byte, 200)); n != 100 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		synctest.Wait()
		for range cap(p.out) {
			(<-p.out).Release()
		}
		p.want("the text", "P. 1:5(4) ack 1")
		p.wantIdle("the acknowledgement of what came meanwhile is not urgent")
		time.Sleep(time.Second)
		p.want("the acknowledgement", ". 5:5(0) ack 101")
	})
}

// TestReopenTimeWait: MAY-2, RFC9293-3.6.1: a new connection in the place of one in TIME-WAIT
// begins beyond the numbers of the old one.
func TestReopenTimeWait(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		c := p.accepted(l)
		old := p.iss
		if _, err := c.Write(make([]byte, 10000)); err != nil {
			t.Fatal(err)
		}
		p.want("the text", "P. 1:10001(10000) ack 1")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		p.want("our FIN", "F. 10001:10001(0) ack 1")
		p.send("F. 1:1(0) ack 10002 win 60000")
		p.want("the last acknowledgement", ". 10002:10002(0) ack 2")
		p.send("S 5000:5000(0) win 60000 <mss 1000>")
		p.want("the SYN is answered", "S. 0:0(0) ack 5001")
		if beyond := old.Add(10002); !p.iss.After(beyond) {
			t.Errorf("ISS is %d before the numbers of the old connection", beyond.Sub(p.iss))
		}
	})
}

// TestResetBeforeAccept: RFC9293-3.10.7.4: of a connection that the peer has
// reset before anybody accepted it nothing is left when its listener closes.
func TestResetBeforeAccept(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		p.send("S 0:0(0) win 60000 <mss 1000>")
		p.want("the SYN is answered", "S. 0:0(0) ack 1")
		p.send("P. 1:101(100) ack 1 win 60000")
		p.send("R 101:101(0) win 0")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		p.wantIdle("there is nobody to be told")
	})
}

// TestUnacceptedGo: when connections that nobody has accepted make that too much
// is held, they are reset, the oldest first.
func TestUnacceptedGo(t *testing.T) {
	const most = 30_000
	withPeer(t, Config{MaxMemory: most}, func(p *peer) {
		l := p.listen()
		defer l.Close()
		resets := 0
		count := func() {
			for s := p.next(); s != nil; s = p.next() {
				if s.Has(segment.RST) {
					resets++
				}
			}
		}
		for i := 1; i <= 8; i++ {
			who := fmt.Sprintf("[peer %d] ", i)
			p.send(who + "S 0:0(0) win 60000 <mss 1000>")
			if s := p.next(); s == nil || !s.Has(segment.SYN|segment.ACK) {
				t.Fatalf("peer %d: %v", i, s)
			} else {
				p.iss = s.Seq
			}
			p.send(who + ". 1:1(0) ack 1 win 60000")
			for k := range 8 {
				p.send(fmt.Sprintf("%s. %d:%d(1000) ack 1 win 60000", who, 1+1000*k, 1001+1000*k))
			}
			count()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		count()
		if evicted := p.stats.UnacceptedEvicted.Load(); evicted == 0 || resets != int(evicted) || p.stats.Buffered.Load() > most+8000 {
			t.Errorf("%d evicted, %d resets, %d bytes are held", evicted, resets, p.stats.Buffered.Load())
		}
		c, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		if c.RemoteAddr().String() == "10.0.0.2:40001" {
			t.Error("the oldest is still there")
		}
		c.Close()
	})
}

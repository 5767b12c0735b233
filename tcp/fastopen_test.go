package tcp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// dialFast begins a Fast Open to port 80 of the peer.
func (p *peer) dialFast(data string) <-chan dialed {
	ch := make(chan dialed, 1)
	go func() {
		c, err := p.sockets.DialFastOpen(context.Background(), netip.AddrPort{}, netip.AddrPortFrom(tcptest.PeerAddr, 80), []byte(data))
		ch <- dialed{c, err}
	}()
	return ch
}

// TestDialFastOpen: RFC7413-4.2.1, RFC7413-4.2.2: the first connection brings the cookie, and
// with the second the data goes in the SYN.
func TestDialFastOpen(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		first := p.dialFast("hello")
		if s := p.want("a SYN that asks", "S 0:0(0)"); !s.Opts.FastOpen.Present || s.Opts.FastOpen.Has() {
			t.Errorf("the SYN has %v", &s.Opts)
		}
		p.send("S. 0:0(0) ack 1 win 60000 <mss 1000,FO a1a2a3a4>")
		if s := p.want("the data follows", "P. 1:6(5) ack 1"); string(s.Data) != "hello" {
			t.Errorf("data %q", s.Data)
		}
		c := (<-first).c
		if c.Info().FastOpen {
			t.Error("Info has it that the data went with the SYN")
		}
		second := p.dialFast("hello")
		s := p.want("a SYN with data", "S 0:5(5)")
		if string(s.Data) != "hello" || s.Opts.FastOpen.String() != "FO a1a2a3a4" {
			t.Errorf("the SYN has %v, %q", &s.Opts, s.Data)
		}
		p.send("S. 0:0(0) ack 6 win 60000 <mss 1000>")
		p.want("the third segment", ". 6:6(0) ack 1")
		if c = (<-second).c; !c.Info().FastOpen {
			t.Error("Info does not have it that the data went with the SYN")
		}
		if _, err := c.Write([]byte("more")); err != nil {
			t.Fatal(err)
		}
		p.want("what is written later", "P. 6:10(4) ack 1")
		if sent, acked := p.stats.FastOpenSent.Load(), p.stats.FastOpenAcked.Load(); sent != 1 || acked != 1 {
			t.Errorf("%d sent, %d acknowledged", sent, acked)
		}
	})
}

// TestDialFastOpenBlackHole: RFC7413-4.1.3.1: where SYNs with the option have no
// answer there are none with it for an hour.
func TestDialFastOpenBlackHole(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		has := func(why string) bool {
			ch := p.dialFast("hello")
			s := p.want(why, "S 0:0(0)")
			if s.Opts.FastOpen.Present {
				time.Sleep(time.Second)
				if s := p.want("the SYN again", "S 0:0(0)"); s.Opts.FastOpen.Present {
					t.Error("the second SYN has the option too")
				}
			}
			p.send("S. 0:0(0) ack 1 win 60000 <mss 1000>")
			p.want("the data", "P. 1:6(5) ack 1")
			p.send("R 1:1(0) win 0")
			(<-ch).c.Close()
			return s.Opts.FastOpen.Present
		}
		if !has("the first SYN asks") || has("the next does not") {
			t.Error("the option is there after a timeout, or was not there before")
		}
		time.Sleep(time.Hour)
		if !has("an hour later it asks again") {
			t.Error("the option is not there after the pause")
		}
	})
}

// TestDialFastOpenErrors: RFC7413-4.2.2: the errors are those of Dial.
func TestDialFastOpenErrors(t *testing.T) {
	withPeer(t, Config{SendBuffer: 1000}, func(p *peer) {
		d := <-p.dialFast(string(make([]byte, 1001)))
		wantError(t, "more than the buffer takes", d.err, syscall.EMSGSIZE)
		ch := p.dialFast("hello")
		p.want("a SYN", "S 0:0(0)")
		p.send("R. 0:0(0) ack 1 win 0")
		wantError(t, "a reset", (<-ch).err, syscall.ECONNREFUSED)
		_, err := p.sockets.DialFastOpen(context.Background(), netip.AddrPort{}, addrPort("224.0.0.1:80"), nil)
		wantError(t, "a group", err, syscall.ENETUNREACH)
	})
}

// fastListener listens with Fast Open, and returns the peer's cookie.
func (p *peer) fastListener(pending int) (*Listener, string) {
	p.t.Helper()
	l := p.listen()
	if err := l.SetFastOpen(pending); err != nil {
		p.t.Fatal(err)
	}
	p.send("S 0:0(0) win 60000 <mss 1000,FO>")
	s := p.want("a cookie", "S. 0:0(0) ack 1")
	if !s.Opts.FastOpen.Has() {
		p.t.Fatalf("no cookie in %v", &s.Opts)
	}
	p.send("R 1:1(0) win 0")
	return l, s.Opts.FastOpen.String()
}

// TestAcceptFastOpen: RFC7413-4.2.2: the server's user reads the data of the SYN
// and answers before the handshake is complete.
func TestAcceptFastOpen(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l, cookie := p.fastListener(1)
		p.send("S 0:100(100) win 60000 <mss 1000," + cookie + ">")
		p.want("SYN and data are acknowledged", "S. 0:0(0) ack 101")
		c, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1000)); n != 100 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
		if _, err := c.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		p.want("the answer", "P. 1:7(6) ack 101")
		if i := c.Info(); i.State != SynReceived || !i.FastOpen {
			t.Errorf("%+v", i)
		}
		old := p.iss
		p.flow = tcptest.PeerFlow(2)
		p.send("S 0:100(100) win 60000 <mss 1000," + cookie + ">")
		p.want("there is room for one only", "S. 0:0(0) ack 1")
		if n := p.stats.FastOpenFull.Load(); n != 1 {
			t.Errorf("%d found no room", n)
		}
		p.flow, p.iss = tcptest.PeerFlow(1), old
		p.send(". 101:101(0) ack 7 win 60000")
		if i := c.Info(); i.State != Established || i.Unacked != 0 {
			t.Errorf("%+v", i)
		}
		p.flow = tcptest.PeerFlow(3)
		p.send("S 0:100(100) win 60000 <mss 1000," + cookie + ">")
		p.want("there is room again", "S. 0:0(0) ack 101")
		if n := p.stats.FastOpenAccepted.Load(); n != 2 {
			t.Errorf("%d accepted", n)
		}
	})
}

// TestFastOpenResetSlots: RFC7413-5.1: resets of those whose addresses were
// borrowed do not make room for more.
func TestFastOpenResetSlots(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l, cookie := p.fastListener(3)
		for i := range 10 {
			p.flow = tcptest.PeerFlow(10 + i)
			p.send("S 0:100(100) win 60000 <mss 1000," + cookie + ">")
			s := p.next()
			p.iss = s.Seq
			if i >= 3 {
				continue
			}
			p.send("R 101:101(0) win 0")
			c, err := l.AcceptTCP()
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadFull(c, make([]byte, 101))
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
		}
		if accepted, full := p.stats.FastOpenAccepted.Load(), p.stats.FastOpenFull.Load(); accepted != 3 || full != 7 {
			t.Errorf("%d accepted, %d found no room", accepted, full)
		}
		time.Sleep(time.Minute)
		for p.next() != nil { // SYN-ACKs that went again
		}
		p.flow = tcptest.PeerFlow(30)
		p.send("S 0:100(100) win 60000 <mss 1000," + cookie + ">")
		p.want("a minute later there is room", "S. 0:0(0) ack 101")
	})
}

// TestFastOpenEnds: RFC7413-4.2.2: a connection that nobody has accepted is
// reset with its listener, and no packet is left.
func TestFastOpenEnds(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l, cookie := p.fastListener(3)
		p.send("S 0:100(100) win 60000 <mss 1000," + cookie + ">")
		p.want("SYN and data are acknowledged", "S. 0:0(0) ack 101")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		p.want("a reset", "R. 1:1(0) ack 101")
		wantError(t, "SetFastOpen after Close", l.SetFastOpen(1), net.ErrClosed)
		synctest.Wait()
	})
}

// TestCookieRotation: RFC7413-4.1.2: a cookie of the secret before the present
// one is good, and the client gets a new one; an older one is not.
func TestCookieRotation(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		_, old := p.fastListener(2)
		syn := func(i int, offer, want string) (granted *segment.Cookie) {
			p.flow = tcptest.PeerFlow(i)
			p.send("S 0:100(100) win 60000 <mss 1000," + offer + ">")
			granted = &p.want("a SYN-ACK", want).Opts.FastOpen
			p.send("R 101:101(0) win 0")
			p.send("R 1:1(0) win 0")
			for p.next() != nil {
			}
			return granted
		}
		if c := syn(2, old, "S. 0:0(0) ack 101"); c.Present {
			t.Errorf("a cookie that is good is replaced by %v", c)
		}
		time.Sleep(time.Hour)
		c := syn(3, old, "S. 0:0(0) ack 101")
		if !c.Has() || c.String() == old {
			t.Errorf("for an old cookie there is %v", c)
		}
		time.Sleep(time.Hour)
		if c := syn(4, old, "S. 0:0(0) ack 1"); !c.Has() || c.String() == old {
			t.Errorf("for one that is too old there is %v", c)
		}
		if again := syn(5, c.String(), "S. 0:0(0) ack 101"); !again.Has() {
			t.Error("for the one between there is none")
		}
	})
}

package tcp

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/tcp/machine"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// wantError fails unless err is a *net.OpError around want.
func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	var op *net.OpError
	if !errors.Is(err, want) || want != io.EOF && !errors.As(err, &op) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// TestDialReadWriteClose: RFC9293-3.9.1: the life of a connection that the user has opened.
func TestDialReadWriteClose(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if got := p.want("text goes at once", "P. 1:6(5) ack 1"); string(got.Data) != "hello" {
			t.Errorf("sent %q", got.Data)
		}
		p.send("P. 1:101(100) ack 6 win 60000")
		buf := make([]byte, 200)
		if n, err := c.Read(buf); n != 100 || err != nil || buf[99] != tcptest.PeerByte(99) {
			t.Errorf("read %d, %v", n, err)
		}
		p.wantIdle("the acknowledgement is delayed (SHLD-18)")
		time.Sleep(40 * time.Millisecond)
		p.want("the delayed acknowledgement", ". 6:6(0) ack 101")
		p.send("F. 101:101(0) ack 6 win 60000")
		p.want("the FIN is acknowledged", ". 6:6(0) ack 102")
		_, err := c.Read(buf)
		wantError(t, "read at the end", err, io.EOF)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		p.want("our FIN", "F. 6:6(0) ack 102")
		_, err = c.Write([]byte("x"))
		wantError(t, "write after Close", err, net.ErrClosed)
		_, err = c.Read(buf)
		wantError(t, "read after Close", err, net.ErrClosed)
		wantError(t, "second Close", c.Close(), net.ErrClosed)
		p.send(". 102:102(0) ack 7 win 60000")
		p.wantIdle("LAST-ACK has ended")
		p.send(". 102:102(0) ack 7 win 60000")
		p.want("CLOSED resets", "R 7:7(0)")
		if s := c.Info().State; s != Closed {
			t.Errorf("state %v", s)
		}
	})
}

// TestDialRefused: MUST-12: a reset is ECONNREFUSED.
func TestDialRefused(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		ch := p.dial(context.Background())
		p.want("a SYN", "S 0:0(0)")
		p.send("R. 0:0(0) ack 1 win 0")
		d := <-ch
		wantError(t, "dial", d.err, syscall.ECONNREFUSED)
		p.wantIdle("nothing more")
	})
}

// TestDialTimeout: MUST-23: without an answer Dial fails after three minutes.
func TestDialTimeout(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		began := time.Now()
		ch := p.dial(context.Background())
		var d dialed
		for waiting := true; waiting; {
			select {
			case d = <-ch:
				waiting = false
			case b := <-p.out:
				b.Release()
			}
		}
		wantError(t, "dial", d.err, syscall.ETIMEDOUT)
		if took := time.Since(began); took < 3*time.Minute || took > 5*time.Minute {
			t.Errorf("after %v", took)
		}
	})
}

// TestDialCancelled: a context that is done ends Dial, and the connection with
// it, without a leak of what has arrived meanwhile.
func TestDialCancelled(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		ctx, cancel := context.WithCancel(context.Background())
		ch := p.dial(ctx)
		p.want("a SYN", "S 0:0(0)")
		cancel()
		d := <-ch
		wantError(t, "dial", d.err, context.Canceled)
		p.send("S. 0:0(0) ack 1 win 60000")
		p.want("nobody wants the answer", "R 1:1(0)")
	})
}

// TestDialBadAddress: MUST-46: there is no connection to a group or to nobody.
// An unspecified address is this host's, as with connect(2).
func TestDialBadAddress(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		for to, want := range map[string]error{
			"224.0.0.1:80": syscall.ENETUNREACH, "255.255.255.255:80": syscall.ENETUNREACH,
			"10.0.0.255:80": syscall.ENETUNREACH, "10.0.0.2:0": syscall.ECONNREFUSED,
		} {
			c, err := p.sockets.Dial(context.Background(), addrPort("0.0.0.0:0"), addrPort(to))
			if c != nil {
				t.Errorf("connected to %s", to)
			}
			wantError(t, "dial "+to, err, want)
		}
		_, err := p.sockets.Dial(context.Background(), addrPort("10.0.0.9:0"), addrPort("10.0.0.2:80"))
		wantError(t, "dial from an address of another host", err, syscall.EADDRNOTAVAIL)
		p.wantIdle("no SYN goes out")
	})
}

// TestReportReachesConnection: MUST-54, MUST-47: an ICMP error ends an attempt, or is
// told to the user of a connection.
func TestReportReachesConnection(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		ch := p.dial(context.Background())
		p.want("a SYN", "S 0:0(0)")
		p.report(ip.CodePortUnreachable, p.iss)
		d := <-ch
		wantError(t, "dial", d.err, syscall.ECONNREFUSED)

		c := p.connected()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		p.want("text", "P. 1:2(1) ack 1")
		p.report(ip.CodeHostUnreachable, p.iss+1)
		synctest.Wait()
		if err := c.Info().SoftError; !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("soft error %v", err)
		}
		before := p.stats.ICMPErrorsIgnored.Load()
		p.flow.Remote.Port++
		p.report(ip.CodeHostUnreachable, p.iss+1)
		synctest.Wait()
		if p.stats.ICMPErrorsIgnored.Load() != before+1 {
			t.Error("an error about no connection is not ignored")
		}
	})
}

// report is an ICMP error about the segment q of the present flow.
func (p *peer) report(code uint8, q segment.Seq) {
	r := ip.ICMPError{Type: ip.TypeUnreachable, Code: code, From: tcptest.PeerAddr, Src: tcptest.HostAddr, Dst: tcptest.PeerAddr, Protocol: ip.ProtocolTCP}
	binary.BigEndian.PutUint16(r.Transport[0:], p.flow.Local.Port)
	binary.BigEndian.PutUint16(r.Transport[2:], p.flow.Remote.Port)
	binary.BigEndian.PutUint32(r.Transport[4:], uint32(q))
	p.icmpErrors.Out().Send(r)
}

// TestCloseWakes: Close wakes Read and Write that wait, with net.ErrClosed.
func TestCloseWakes(t *testing.T) {
	withPeer(t, Config{SendBuffer: 1000}, func(p *peer) {
		c := p.connected()
		read := async(func() (int, error) { return c.Read(make([]byte, 10)) })
		write := async(func() (int, error) { return c.Write(make([]byte, 5000)) })
		pendingCall(t, "a read with nothing to read", read)
		pendingCall(t, "a write with no room", write)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		wantError(t, "read", (<-read).err, net.ErrClosed)
		if o := <-write; o.n >= 5000 || !errors.Is(o.err, net.ErrClosed) {
			t.Errorf("write: %d, %v", o.n, o.err)
		}
	})
}

// TestResetWakes: MUST-12: a reset wakes them with ECONNRESET, in the state in which what
// arrived before can still be read.
func TestResetWakes(t *testing.T) {
	withPeer(t, Config{SendBuffer: 1000}, func(p *peer) {
		c := p.connected()
		read := async(func() (int, error) { return c.Read(make([]byte, 10)) })
		write := async(func() (int, error) { return c.Write(make([]byte, 5000)) })
		pendingCall(t, "a write with no room", write)
		p.want("the first of it", "P. 1:1001(1000) ack 1")
		p.send("R 1:1(0) win 0")
		wantError(t, "read", (<-read).err, syscall.ECONNRESET)
		wantError(t, "write", (<-write).err, syscall.ECONNRESET)
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// TestDeadlines: a deadline wakes Read, Write and Accept at its instant, one in
// the past at once, and a later one lets them work again.
func TestDeadlines(t *testing.T) {
	withPeer(t, Config{SendBuffer: 1000}, func(p *peer) {
		l := p.listen()
		c := p.accepted(l)
		calls := map[string]func() (int, error){
			"read":   func() (int, error) { return c.Read(make([]byte, 10)) },
			"write":  func() (int, error) { return c.Write(make([]byte, 5000)) },
			"accept": func() (int, error) { _, err := l.Accept(); return 0, err },
		}
		set := func(at time.Time) { _, _ = c.SetDeadline(at), l.SetDeadline(at) }
		for name, call := range calls {
			set(time.Now().Add(time.Second))
			began := time.Now()
			_, err := call()
			wantError(t, name, err, os.ErrDeadlineExceeded)
			if took := time.Since(began); took != time.Second {
				t.Errorf("%s: after %v", name, took)
			}
			_, err = call()
			wantError(t, name+" again", err, os.ErrDeadlineExceeded)
			if took := time.Since(began); took != time.Second {
				t.Errorf("%s again: after %v", name, took)
			}
			set(time.Time{})
			waiting := async(call)
			pendingCall(t, name+" without a deadline", waiting)
			set(time.Now())
			wantError(t, name+" cut off", (<-waiting).err, os.ErrDeadlineExceeded)
			set(time.Time{})
		}
		for len(p.out) > 0 {
			(<-p.out).Release()
		}
	})
}

// TestLinger: RFC9293-3.9.1: with a linger time Close waits for the delivery, and gives up
// after it; with 0 it resets.
func TestLinger(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		for _, answer := range []bool{true, false} {
			c := p.connected()
			if err := c.SetLinger(5); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("last words")); err != nil {
				t.Fatal(err)
			}
			p.want("the text", "P. 1:11(10) ack 1")
			began := time.Now()
			closing := async(func() (int, error) { return 0, c.Close() })
			p.want("the FIN", "F. 11:11(0) ack 1")
			pendingCall(t, "close", closing)
			if answer {
				time.Sleep(100 * time.Millisecond)
				p.send("F. 1:1(0) ack 12 win 60000")
				<-closing
				p.want("the last acknowledgement", ". 12:12(0) ack 2")
			} else {
				<-closing
			}
			if took := time.Since(began); answer && took != 100*time.Millisecond || !answer && took != 5*time.Second {
				t.Errorf("answered %v: Close took %v", answer, took)
			}
			synctest.Wait()
			for len(p.out) > 0 {
				(<-p.out).Release()
			}
		}
	})
}

// TestLingerZero: RFC9293-3.10.5: with linger 0 Close aborts, and what was not read does
// not leak.
func TestLingerZero(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		p.send("P. 1:101(100) ack 1 win 60000")
		if err := c.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		p.want("a reset", "R. 1:1(0) ack 101")
	})
}

// TestShutdown: when the stack ends, each connection is reset, calls return,
// and nothing is left.
func TestShutdown(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		c := p.accepted(l)
		p.send("P. 1:101(100) ack 1 win 60000") // nobody reads it
		accept := async(func() (int, error) { _, err := l.Accept(); return 0, err })
		pendingCall(t, "accept", accept)
		p.sockets.Shutdown()
		wantError(t, "accept", (<-accept).err, net.ErrClosed)
		_, err := c.Write([]byte("x"))
		wantError(t, "write", err, net.ErrClosed)
		p.want("a reset", "R. 1:1(0) ack 101")
		p.send("[peer 2] S 9:9(0) win 60000")
		p.iss = 0
		p.want("nobody listens", "R. 0:0(0) ack 10")
		_, err = p.sockets.Dial(context.Background(), addrPort("0.0.0.0:0"), addrPort("10.0.0.2:80"))
		wantError(t, "dial", err, net.ErrClosed)
		_, err = p.sockets.Listen(addrPort("0.0.0.0:81"))
		wantError(t, "listen", err, net.ErrClosed)
	})
}

// TestTOSAndTTL: MUST-48, MUST-49, RFC1122-3.2.1.7-4, SHLD-21, SHLD-22, SHLD-23: the user sets the Diffserv field and the TTL
// of what is sent.
func TestTOSAndTTL(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		for _, set := range []struct{ tos, ttl, wantTTL uint8 }{{0, 0, ipv4.DefaultTTL}, {0xb8, 3, 3}, {0x20, 255, 255}} {
			if err := c.SetTOS(set.tos); err != nil {
				t.Fatal(err)
			}
			if err := c.SetTTL(set.ttl); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			b := <-p.out
			if network := ipv4.Header(b.Bytes()); network.TOS() != set.tos || network.TTL() != set.wantTTL || network.Src() != tcptest.HostAddr {
				t.Errorf("TOS %#x, TTL %d, from %v; want %+v", network.TOS(), network.TTL(), network.Src(), set)
			}
			b.Release()
		}
	})
}

// TestOptionsOfUser: MUST-17, MUST-21, MUST-24, MUST-27: the user's calls reach the machine.
func TestOptionsOfUser(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		keepAlive := net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: time.Second, Count: 2}
		for _, err := range []error{c.SetNoDelay(false), c.SetUserTimeout(7 * time.Second), c.SetKeepAliveConfig(keepAlive)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		var o machine.SocketOptions
		c.do(func(_ time.Time, t *machine.TCB) { o = *t.Options() })
		if o.NoDelay || o.UserTimeout != 7*time.Second || !o.KeepAlive || o.KeepAliveIdle != time.Minute || o.KeepAliveCount != 2 {
			t.Errorf("%+v", o)
		}
		time.Sleep(time.Minute)
		p.want("the first probe", ". 0:0(0) ack 1")
	})
}

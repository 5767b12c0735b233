package tcp

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
)

// told is what waits on a connection's channel of signals.
func told(t *testing.T, signals <-chan Signal) (s Signal, ok bool) {
	t.Helper()
	synctest.Wait()
	select {
	case s, ok = <-signals:
	default:
	}
	return s, ok
}

// TestSignalUrgent: MUST-32, MUST-33, MUST-66: the user is told as soon as an
// urgent pointer comes, though he does not read and the window is full, and
// told again when it moves ahead.
func TestSignalUrgent(t *testing.T) {
	withPeer(t, Config{ReceiveBuffer: 100}, func(p *peer) {
		c := p.connected()
		signals := c.Signals()
		p.send("P. 1:101(100) ack 1 win 60000")
		time.Sleep(time.Second)
		p.want("the buffer is full", ". 1:1(0) ack 101")
		if n, ok := told(t, signals); ok {
			t.Errorf("told %+v of text that is not urgent", n)
		}
		p.send("U. 101:101(0) ack 1 win 60000 urg 50")
		if n, ok := told(t, signals); !ok || n != (Signal{Urgent: true}) {
			t.Errorf("told %+v, %v of the pointer", n, ok)
		}
		if u := c.Info().Urgent; u != 150 {
			t.Errorf("%d bytes up to the pointer", u)
		}
		p.send("U. 101:101(0) ack 1 win 60000 urg 50")
		if n, ok := told(t, signals); ok {
			t.Errorf("told %+v of the same pointer", n)
		}
		p.send("U. 101:101(0) ack 1 win 60000 urg 60")
		if n, ok := told(t, signals); !ok || !n.Urgent {
			t.Errorf("told %+v, %v of a later pointer", n, ok)
		}
	})
}

// TestWriteUrgent: MUST-30, MUST-62: the user's urgent data has the pointer behind
// it.
func TestWriteUrgent(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		if n, err := c.WriteUrgent([]byte("stop")); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		if s := p.want("urgent text", "PU. 1:5(4) ack 1"); s.Urgent != 4 || string(s.Data) != "stop" {
			t.Errorf("pointer %d, %q", s.Urgent, s.Data)
		}
		c.Close()
		if _, err := c.WriteUrgent([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestSignalOfError: MUST-47, SHLD-20, SHLD-25: soft errors are told to whoever
// asks, also those that came before he did; several wait as one signal, and
// nobody has to receive it.
func TestSignalOfError(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		p.want("text", "P. 1:2(1) ack 1")
		for _, code := range []uint8{ip.CodeNetUnreachable, ip.CodeHostUnreachable} {
			p.report(code, p.iss+1) // nobody listens
			synctest.Wait()
		}
		signals := c.Signals()
		p.send("U. 1:1(0) ack 1 win 60000 urg 1")
		if n, ok := told(t, signals); !ok || !n.Urgent || !errors.Is(n.Err, syscall.EHOSTUNREACH) {
			t.Errorf("told %+v, %v", n, ok)
		}
		if c.Signals() != signals {
			t.Error("another channel")
		}
	})
}

// TestSignalFailing: SHLD-9, SHLD-10, MUST-20, MUST-22: after three timeouts in
// a row the user is told, and the network layer is advised, once; it does not
// matter that nobody takes the advice. An answer ends that.
func TestSignalFailing(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		ch := p.dial(context.Background())
		p.want("a SYN", "S 0:0(0)")
		time.Sleep(6 * time.Second)
		if len(p.advice) != 0 {
			t.Error("advised after two timeouts")
		}
		time.Sleep(2 * time.Second) // 1 + 2 + 4 seconds
		if a := <-p.advice; a != (ip.Advice{Dst: tcptest.PeerAddr}) {
			t.Errorf("advice about a SYN: %+v", a)
		}
		for p.next() != nil {
		}
		p.send("S. 0:0(0) ack 1 win 60000 <mss 1000>")
		p.want("the third segment", ". 1:1(0) ack 1")
		c := (<-ch).c
		signals := c.Signals()
		told(t, signals) // of the SYN

		for n := range 2 { // the second advice finds no room
			if c.Info().Failing {
				t.Error("failing before anything was sent")
			}
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if n, ok := told(t, signals); ok {
				t.Errorf("told %+v at once", n)
			}
			time.Sleep(200 * time.Second) // timeouts back off
			if n, ok := told(t, signals); !ok || !n.Failing || !c.Info().Failing {
				t.Errorf("told %+v, %v after some timeouts", n, ok)
			}
			for p.next() != nil {
			}
			p.send([]string{". 1:1(0) ack 2 win 60000", ". 1:1(0) ack 3 win 60000"}[n])
		}
		if c.Info().Failing || len(p.advice) != 1 || p.stats.DropAdviceFull.Load() != 1 {
			t.Errorf("failing %v, %d pieces of advice, %d lost", c.Info().Failing, len(p.advice), p.stats.DropAdviceFull.Load())
		}
	})
}

// TestSignalsEnd: the channel is closed with the connection, and one that is
// asked for later is closed already.
func TestSignalsEnd(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		for _, early := range []bool{true, false} {
			c := p.connected()
			var signals <-chan Signal
			if early {
				signals = c.Signals()
			}
			p.send("R. 1:1(0) ack 1")
			synctest.Wait()
			for range 2 {
				if _, open := <-c.Signals(); open {
					t.Error("open after the end")
				}
			}
			if early && c.Signals() != signals {
				t.Error("another channel")
			}
		}
	})
}

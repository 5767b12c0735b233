package stack

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/goroutines"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
)

// states counts the connections of s by state.
func states(s *gonet.Stack) map[tcp.State]int {
	n := map[tcp.State]int{}
	for _, info := range s.Connections() {
		n[info.State]++
	}
	return n
}

// slowWire keeps bursts from being lost in a queue of 64: its own is long.
var slowWire = link.Impairment{Rate: 1e9, Queue: 1 << 16, Delay: time.Millisecond}

func TestThousandConnections(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t, slowWire.Middleware())
		defer p.close()
		l := listen(t, p.b, ":7")
		defer l.Close()
		go echo(l)
		const n = 1000
		opened, exchange := make(chan bool), make(chan bool)
		for range n {
			go func() {
				c := dial(t, p.a, "10.0.0.2:7")
				opened <- true
				<-exchange
				want, got := payload(1000), make([]byte, 1000)
				c.Write(want)
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("echo: %v", err)
				}
				c.Close()
				opened <- false
			}()
		}
		for range n {
			<-opened
		}
		if s := states(p.a); s[tcp.Established] != n {
			t.Errorf("states at a: %v", s)
		}
		time.Sleep(time.Second)
		if s := states(p.b); s[tcp.Established] != n || s[tcp.Listen] != 1 {
			t.Errorf("states at b: %v", s)
		}
		close(exchange)
		for range n {
			<-opened
		}
		time.Sleep(time.Second)
		if s := states(p.a); s[tcp.TimeWait] != n || len(s) != 1 {
			t.Errorf("states at a after the end: %v", s)
		}
		if s := states(p.b); s[tcp.Listen] != 1 || len(s) != 1 {
			t.Errorf("states at b after the end: %v", s)
		}
	})
}

// TestChurn opens and closes connections for long, and then looks for what
// they have left behind: goroutines, packets, ports.
func TestChurn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t, slowWire.Middleware())
		defer p.close()
		l := listen(t, p.b, ":7")
		defer l.Close()
		go echo(l)
		time.Sleep(time.Second)
		routines, packets := goroutines.Count(), packet.Live()

		const workers, each = 50, 200
		done := make(chan bool)
		for range workers {
			go func() {
				for i := range each {
					c := dial(t, p.a, "10.0.0.2:7")
					c.Write([]byte("hello"))
					if n, err := io.ReadFull(c, make([]byte, 5)); err != nil {
						t.Errorf("%d bytes, %v", n, err)
					}
					if i%10 == 9 {
						c.SetLinger(0)
					}
					c.Close()
				}
				done <- true
			}()
		}
		for range workers {
			<-done
		}
		time.Sleep(time.Second)
		if s := states(p.a); s[tcp.TimeWait] != workers*each*9/10 || len(s) != 1 {
			t.Errorf("states at a: %v", s)
		}
		time.Sleep(2 * time.Minute) // twice the 2 MSL
		if s := states(p.a); len(s) != 0 {
			t.Errorf("states at a: %v", s)
		}
		if s := states(p.b); s[tcp.Listen] != 1 || len(s) != 1 {
			t.Errorf("states at b: %v", s)
		}
		synctest.Wait()
		if n := goroutines.Count(); n > routines {
			t.Errorf("%d goroutines, before %d", n, routines)
		}
		if n := packet.Live(); n > packets {
			t.Errorf("%d packets, before %d", n, packets)
		}
	})
}

// All ephemeral ports to one peer can be used, and no more; then some are
// free again.
func TestPortsRunOut(t *testing.T) {
	if testing.Short() {
		t.Skip("16384 connections")
	}
	inBubble(t, func(t *testing.T) {
		const ephemeral = 65536 - 32768
		host := newHost(t, link.Loopback(0), "10.0.0.1/24", 1)
		defer host.Close()
		l := listen(t, host, "127.0.0.1:7")
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Read(make([]byte, 1)) // until the other end has closed, which then waits
				c.Close()
			}
		}()
		open := func() error {
			c, err := host.Dial("tcp", "127.0.0.1:7")
			if err == nil {
				c.Close()
			}
			return err
		}
		for i := range ephemeral {
			if err := open(); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
		}
		if err := open(); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("with all ports in TIME-WAIT: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if err := open(); err != nil {
			t.Errorf("with none: %v", err)
		}
	})
}

// The backlog holds connections that nobody has accepted yet; one more waits
// in its handshake until there is room.
func TestBacklog(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		la, lb := link.Pipe(link.PipeConfig{})
		b, err := gonet.New(gonet.Config{Link: lb, Addr: netip.MustParsePrefix("10.0.0.2/24"), TCP: tcp.Config{Backlog: 3}})
		if err != nil {
			t.Fatal(err)
		}
		p := pair{newHost(t, la, "10.0.0.1/24", 1), b}
		defer p.close()
		l := listen(t, p.b, ":7")
		defer l.Close()
		for range 3 {
			defer dial(t, p.a, "10.0.0.2:7").Close()
		}
		synctest.Wait()
		late := make(chan net.Conn)
		start := time.Now()
		go func() { late <- dial(t, p.a, "10.0.0.2:7") }()
		time.Sleep(10 * time.Second)
		select {
		case <-late:
			t.Fatal("a fourth connection was made")
		default:
		}
		for range 4 {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		(<-late).Close()
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("the fourth was made after %v", d)
		}
	})
}

// Connections that wait in a large backlog work as soon as they are accepted.
func TestLargeBacklog(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t, slowWire.Middleware())
		defer p.close()
		l := listen(t, p.b, ":7")
		for range 1000 {
			c := dial(t, p.a, "10.0.0.2:7")
			c.Write([]byte("hello"))
			c.CloseWrite()
			defer c.Close()
		}
		for range 500 {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			c.Close()
		}
		l.Close() // resets the others
		time.Sleep(time.Second)
		if s := states(p.b); s[tcp.Established]+s[tcp.CloseWait] != 0 {
			t.Errorf("states at b: %v", s)
		}
	})
}

// A stack that is closed tells its peers by resets.
func TestPeerStackCloses(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		c, _ := p.connect(t)
		u := dialUDP(t, p.a, "10.0.0.2:53")
		wakes(t, func() error { _, err := c.Read(make([]byte, 1)); return err }, func() { p.b.Close() }, syscall.ECONNRESET)
		u.Write([]byte("is anybody there?"))
		u.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := u.Read(make([]byte, 1)); err == nil {
			t.Error("an answer from a stack that is closed")
		}
		c.Close()
	})
}

// When the link dies the stack goes on, without it, until it is closed.
func TestLinkDies(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		la, lb := link.Pipe(link.PipeConfig{})
		host := newHost(t, la, "10.0.0.1/24", 1)
		defer host.Close()
		ours, theirs := connect(t, host, host, "127.0.0.1:0")
		close(lb.Tx) // pulls the plug
		for b := range lb.Rx {
			b.Release()
		}
		synctest.Wait()
		if _, err := host.Dial("tcp", "10.0.0.2:80"); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("Dial: %v", err)
		}
		if _, err := host.Ping(t.Context(), netip.MustParseAddr("10.0.0.2")); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("Ping: %v", err)
		}
		got := make([]byte, 10)
		ours.Write([]byte("inside"))
		if n, err := theirs.Read(got); string(got[:n]) != "inside" || err != nil {
			t.Errorf("loopback: %q, %v", got[:n], err)
		}
	})
}

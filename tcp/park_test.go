package tcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/goroutines"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// wantParked fails unless so many connections have been parked and unparked
// so far, in the time that has passed.
func (p *peer) wantParked(parked, unparked uint64) {
	p.t.Helper()
	synctest.Wait()
	if s, w := p.stats.Parked.Load(), p.stats.Unparked.Load(); s != parked || w != unparked {
		p.t.Fatalf("parked %d times and unparked %d times, want %d and %d", s, w, parked, unparked)
	}
}

// TestPark: what unparks a quiet connection, and what comes of it.
func TestPark(t *testing.T) {
	for _, c := range []struct {
		name string
		wake func(p *peer, c *Conn)
	}{
		{"a segment", func(p *peer, c *Conn) {
			p.send("P. 1:4(3) ack 1 win 60000")
			b := make([]byte, 10)
			if n, err := c.Read(b); n != 3 || err != nil {
				p.t.Errorf("read %d, %v", n, err)
			}
		}},
		{"a write", func(p *peer, c *Conn) {
			if n, err := c.Write([]byte("abc")); n != 3 || err != nil {
				p.t.Errorf("wrote %d, %v", n, err)
			}
			p.want("the text", "P. 1:4(3) ack 1")
			p.send(". 1:1(0) ack 4 win 60000")
		}},
		{"a close", func(p *peer, c *Conn) {
			c.Close()
			p.want("a FIN", "F. 1:1(0) ack 1")
		}},
		{"an abort", func(p *peer, c *Conn) {
			c.SetLinger(0)
			c.Close()
			p.want("a reset", "R. 1:1(0) ack 1")
		}},
		{"an option", func(p *peer, c *Conn) {
			if err := c.SetTTL(9); err != nil {
				p.t.Error(err)
			}
		}},
		{"a FIN", func(p *peer, c *Conn) {
			p.send("F. 1:1(0) ack 1 win 60000")
			p.want("an answer", ". 1:1(0) ack 2")
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				p.t.Error(err)
			}
		}},
		{"a reset", func(p *peer, c *Conn) {
			p.send("R. 1:1(0) ack 1 win 60000")
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				p.t.Error(err)
			}
		}},
		{"an ICMP error", func(p *peer, c *Conn) {
			r := ip.ICMPError{Type: ip.TypeUnreachable, Code: ip.CodeHostUnreachable, Src: tcptest.HostAddr, Dst: tcptest.PeerAddr}
			binary.BigEndian.PutUint16(r.Transport[0:], p.flow.Local.Port)
			binary.BigEndian.PutUint16(r.Transport[2:], p.flow.Remote.Port)
			p.icmpErrors.Out().Send(r)
			p.wantIdle("nothing is in flight that it could be about")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			withPeer(t, Config{}, func(p *peer) {
				conn := p.connected()
				time.Sleep(999 * time.Millisecond)
				p.wantParked(0, 0)
				time.Sleep(time.Millisecond)
				p.wantParked(1, 0)
				time.Sleep(time.Hour)
				c.wake(p, conn)
				p.wantParked(1, 1)
			})
		})
	}
}

// TestParkAgain: a connection is parked whenever it is quiet, and no more.
func TestParkAgain(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		for n := range uint64(3) {
			time.Sleep(10 * time.Second)
			p.wantParked(n+1, n)
			c.SetNoDelay(true)
			p.wantParked(n+1, n+1)
		}
		p.send("P. 1:4(3) ack 1 win 60000") // what waits for a reader keeps the process
		time.Sleep(time.Second)
		p.want("acknowledged", ". 1:1(0) ack 4")
		time.Sleep(10 * time.Second)
		p.wantParked(3, 3)
		c.Read(make([]byte, 10))
		time.Sleep(10 * time.Second)
		p.wantParked(4, 3)
	})
}

// TestParkKeepAlive: parked connections probe their peers at the instant
// that was asked for, whichever began first, and end when there is no answer.
func TestParkKeepAlive(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		var conns []*Conn
		var isses []segment.Seq
		for i, idle := range []int{30, 20, 40, 26} {
			p.flow.Remote.Port = uint16(1000 + i)
			c := p.accepted(l)
			c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Duration(idle) * time.Second, Interval: 5 * time.Second, Count: 2})
			conns, isses = append(conns, c), append(isses, p.iss)
		}
		peer := func(i int) { p.flow.Remote.Port, p.iss = uint16(1000+i), isses[i] }
		start := time.Now()
		time.Sleep(10 * time.Second)
		p.wantParked(4, 4) // each was unparked to be told
		peer(2)
		conns[2].SetLinger(0)
		conns[2].Close()
		p.want("a reset", "R. 1:1(0) ack 1")
		p.wantParked(4, 5)
		until := func(at int) {
			t.Helper()
			time.Sleep(time.Until(start.Add(time.Duration(at)*time.Second - 1)))
			p.wantIdle("it is not time yet")
			time.Sleep(time.Nanosecond)
		}
		probe := func(i, at int, more ...string) {
			t.Helper()
			peer(i)
			until(at)
			p.want("a probe", ". 0:0(0) ack 1")
			for _, m := range more {
				p.send(m)
			}
		}
		const alive = ". 1:1(0) ack 1 win 60000"
		probe(1, 20, alive)
		probe(3, 26, alive)
		probe(0, 30, alive)
		read := async(func() (int, error) { return conns[1].Read(make([]byte, 1)) })
		probe(1, 40) // and nobody answers any more
		probe(1, 45)
		peer(1)
		until(50)
		p.want("given up", "R. 1:1(0) ack 1")
		if o := <-read; !errors.Is(o.err, syscall.ETIMEDOUT) {
			t.Errorf("read: %v", o.err)
		}
		probe(3, 52, alive)
		time.Sleep(5 * time.Second)
		p.wantParked(8, 10)
	})
}

// TestParkNever: with a negative time none is parked.
func TestParkNever(t *testing.T) {
	withPeer(t, Config{ParkAfter: -1}, func(p *peer) {
		p.connected()
		time.Sleep(time.Hour)
		p.wantParked(0, 0)
	})
}

// TestParkCosts: a parked connection has no goroutine.
func TestParkCosts(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		synctest.Wait()
		before := goroutines.Count()
		p.connected()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := goroutines.Count(); n != before {
			t.Errorf("%d goroutines, %d before the connection", n, before)
		}
	})
}

// TestParkListed: those who list connections do not unpark them; and the end of
// the stack ends those that are parked.
func TestParkListed(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		time.Sleep(10 * time.Second)
		all := p.sockets.Connections()
		if len(all) != 1 || all[0].State != Established || all[0].Remote != p.flow.Remote.AddrPort() {
			t.Errorf("%+v", all)
		}
		p.wantParked(1, 0)
		read := async(func() (int, error) { return c.Read(make([]byte, 1)) })
		pendingCall(t, "a read does not unpark", read)
		p.wantParked(1, 0)
		p.sockets.Shutdown()
		p.want("a reset", "R. 1:1(0) ack 1")
		if o := <-read; o.err == nil || strings.Contains(o.err.Error(), "EOF") {
			t.Errorf("read at the end: %v", o.err)
		}
	})
}

// TestParkUnaccepted: connections that are parked before they are accepted
// are reset with their listener, like others.
func TestParkUnaccepted(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		p.send("S 0:0(0) win 60000 <mss 1000>")
		p.want("the SYN is answered", "S. 0:0(0) ack 1")
		p.send(". 1:1(0) ack 1 win 60000")
		time.Sleep(10 * time.Second)
		p.wantParked(0, 0) // it has never had a process
		l.Close()
		p.want("a reset", "R. 1:1(0) ack 1")
		p.wantParked(0, 1)
	})
}

// TestParkRaces has a connection parked at once, again and again, while
// users ask and read and segments come: nothing is lost, and nobody waits for
// ever.
func TestParkRaces(t *testing.T) {
	withPeer(t, Config{ParkAfter: 1, DelayedACK: -1}, func(p *peer) {
		c := p.connected()
		var users sync.WaitGroup
		for range 8 {
			users.Go(func() {
				for range 200 {
					c.SetNoDelay(true)
					time.Sleep(time.Microsecond)
				}
			})
		}
		const segments = 200
		users.Go(func() {
			if n, err := io.ReadFull(c, make([]byte, 3*segments)); err != nil {
				t.Errorf("read %d: %v", n, err)
			}
		})
		for n := range segments {
			p.send(fmt.Sprintf("P. %d:%d(3) ack 1 win 60000", 1+3*n, 4+3*n))
			p.want("each is acknowledged", fmt.Sprintf(". 1:1(0) ack %d", 4+3*n))
			time.Sleep(time.Microsecond)
		}
		users.Wait()
		if p.stats.Parked.Load() < segments {
			t.Errorf("parked %d times only", p.stats.Parked.Load())
		}
	})
}

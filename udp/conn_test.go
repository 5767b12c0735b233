package udp

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// Two sockets of one host talk, as net.Conn and as net.PacketConn.
func TestExchange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		r.loop(t)
		var server net.PacketConn = r.listen(t, "0.0.0.0:53")
		var client net.Conn = r.dial(t, "", "10.0.0.2:53")
		for _, data := range []string{"hello", "", "again"} {
			if n, err := client.Write([]byte(data)); n != len(data) || err != nil {
				t.Fatal(n, err)
			}
			p := make([]byte, 100)
			n, from, err := server.ReadFrom(p)
			if string(p[:n]) != data || err != nil || from.String() != client.LocalAddr().String() {
				t.Errorf("%q from %v, %v", p[:n], from, err)
			}
			if _, err := server.WriteTo([]byte("re: "+data), from); err != nil {
				t.Fatal(err)
			}
			if n, err := client.Read(p); string(p[:n]) != "re: "+data || err != nil {
				t.Errorf("%q, %v", p[:n], err)
			}
		}
		server.Close()
		client.Close()
	})
}

// icmpError is what comes back about a datagram of ours.
func icmpError(typ, code uint8, src, dst string) ip.ICMPError {
	r := ip.ICMPError{Type: typ, Code: code, From: gateway, Src: addr(src).Addr(), Dst: addr(dst).Addr(), Protocol: ip.ProtocolUDP}
	binary.BigEndian.PutUint16(r.Transport[0:], addr(src).Port())
	binary.BigEndian.PutUint16(r.Transport[2:], addr(dst).Port())
	return r
}

// RFC1122-4.1.3.3: ICMP errors reach the application. A connected socket
// has them returned once by the next Read or Write, also by a Read that waits;
// and every socket can take them from ICMPErrors.
func TestICMPErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		connected := r.dial(t, "10.0.0.2:1000", "10.0.0.9:53")
		bound := r.listen(t, "0.0.0.0:1001")
		refused := icmpError(3, 3, "10.0.0.2:1000", "10.0.0.9:53")

		r.fail(refused)
		r.fail(refused) // is one error to the user all the same
		synctest.Wait()
		_, err := connected.Read(make([]byte, 1))
		if want := "read udp 10.0.0.2:1000->10.0.0.9:53: read: connection refused"; !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != want {
			t.Errorf("%v", err)
		}
		if _, err := connected.Write(nil); err != nil {
			t.Errorf("told once, and again: %v", err)
		}
		r.fail(refused)
		r.fail(icmpError(3, 13, "10.0.0.2:1000", "10.0.0.9:53")) // the later one is told
		synctest.Wait()
		if _, err := connected.Write(nil); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("%v", err)
		}
		waits := make(chan error, 1)
		go func() {
			_, err := connected.Read(make([]byte, 1))
			waits <- err
		}()
		synctest.Wait()
		r.fail(refused)
		if err := <-waits; !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a read that waits: %v", err)
		}
		if got := <-connected.ICMPErrors(); got != refused {
			t.Errorf("%+v", got)
		}

		// an unconnected socket goes on with the others
		r.fail(icmpError(3, 3, "10.0.0.2:1001", "10.0.0.9:53"))
		r.in <- received(t, "10.0.0.9:7", "10.0.0.2:1001", "hello")
		wantRead(t, bound, "hello", "10.0.0.9:7")
		if got := <-bound.ICMPErrors(); got.Dst != peer || got.Err() != syscall.ECONNREFUSED {
			t.Errorf("%+v", got)
		}
		for range maxICMPErrors + 3 { // nobody takes them
			r.fail(icmpError(3, 3, "10.0.0.2:1001", "10.0.0.9:53"))
		}

		r.fail(icmpError(3, 3, "10.0.0.2:1002", "10.0.0.9:53"))
		synctest.Wait()
		if got := r.stats.ICMPErrorsUnmatched.Load(); got != 1 {
			t.Errorf("%d reports without a socket", got)
		}
	})
}

// Deadlines wake calls that wait, and refuse those to come, until they are
// moved.
func TestDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		for _, test := range []struct {
			name string
			set  func(time.Time) error
			want time.Duration // how long the call waits
			at   time.Duration // what is set
		}{
			{"future", c.SetReadDeadline, time.Second, time.Second},
			{"both", c.SetDeadline, time.Second, time.Second},
			{"now", c.SetReadDeadline, 0, 0},
			{"past", c.SetDeadline, 0, -time.Hour},
		} {
			began := time.Now()
			waits := make(chan error, 3)
			for range cap(waits) {
				go func() {
					_, _, err := c.ReadFrom(nil)
					waits <- err
				}()
			}
			synctest.Wait()
			test.set(began.Add(test.at))
			for range cap(waits) {
				err := <-waits
				if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != test.want {
					t.Errorf("%s: %v after %v", test.name, err, time.Since(began))
				}
				if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
					t.Errorf("%s: %v is no timeout", test.name, err)
				}
			}
			// data is no excuse
			r.in <- received(t, "10.0.0.9:7", "10.0.0.2:53", "hello")
			synctest.Wait()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: a later read: %v", test.name, err)
			}
			c.SetDeadline(time.Time{})
			wantRead(t, c, "hello", "10.0.0.9:7")
		}
		c.SetWriteDeadline(time.Now())
		if _, err := c.WriteToAddrPort(nil, addr("10.0.0.9:53")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
	})
}

// Close wakes whoever waits, releases what was not read, and frees the port.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		waits := make(chan error, 3)
		for range cap(waits) {
			go func() {
				_, err := c.Read(make([]byte, 1))
				waits <- err
			}()
		}
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for range cap(waits) {
			if err := <-waits; !errors.Is(err, net.ErrClosed) {
				t.Errorf("a read that waited: %v", err)
			}
		}
		c = r.listen(t, "0.0.0.0:53")
		r.in <- received(t, "10.0.0.9:7", "10.0.0.2:53", "nobody reads me")
		c.Close()
		for name, call := range map[string]func() error{
			"close":        c.Close,
			"read":         func() error { _, err := c.Read(nil); return err },
			"read msg":     func() error { _, err := c.ReadMsg(nil, &Info{}); return err },
			"write":        func() error { _, err := c.WriteToAddrPort(nil, addr("10.0.0.9:53")); return err },
			"set deadline": func() error { return c.SetDeadline(time.Now()) },
			"set write":    func() error { return c.SetWriteDeadline(time.Now()) },
		} {
			var op *net.OpError
			if err := call(); !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
				t.Errorf("%s after close: %v", name, err)
			}
		}
		r.listen(t, "0.0.0.0:53")
	})
}

// Everything at once, for the race detector: many readers and writers of one
// socket, deadlines moved, options set, sockets made and closed.
func TestConcurrentUse(t *testing.T) {
	r := start(t, testConfig(t))
	r.loop(t)
	r.answerJoins(t)
	server := r.listen(t, "0.0.0.0:53")
	server.SetReadBuffer(64 << 10)
	var all, readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			p := make([]byte, 1500)
			for {
				n, from, err := server.ReadFromAddrPort(p)
				switch {
				case errors.Is(err, net.ErrClosed):
					return
				case err == nil:
					server.WriteToAddrPort(p[:n], from)
				}
			}
		})
	}
	for i := range 6 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			p := make([]byte, 1500)
			for range 50 {
				c, err := r.Dial(netip.AddrPort{}, addr("10.0.0.2:53"))
				if err != nil {
					t.Error(err)
					return
				}
				c.SetTTL(uint8(rnd.Uint32()))
				c.JoinGroup(group, 0)
				c.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(5)) * time.Millisecond))
				server.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(5)) * time.Millisecond))
				n, err := c.Write(p[:rnd.IntN(len(p))])
				if err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("write: %v", err)
				}
				if m, err := c.Read(p); err == nil && m != n {
					t.Errorf("sent %d bytes, got %d back", n, m)
				}
				go c.Read(p[:0])
				c.Close()
			}
		})
	}
	all.Wait()
	server.Close()
	readers.Wait()
}

// BenchmarkWrite is one datagram into the transmit queue.
func BenchmarkWrite(b *testing.B) {
	tx := make(chan *packet.Buffer, 1)
	s := NewSockets(edge.Out[Call]{}, ip.Edges{Loop: edge.To(tx).Out()}, edge.Out[ip.Membership]{}, nil, testConfig(b), &Stats{})
	c := s.newConn(netip.AddrPortFrom(anyAddr, 1000), netip.AddrPort{})
	p := make([]byte, 1472)
	to := addr("10.0.0.9:53")
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.WriteToAddrPort(p, to); err != nil {
			b.Fatal(err)
		}
		(<-tx).Release()
	}
}

// In the steady state a datagram costs no allocation in either direction.
func TestNoAllocation(t *testing.T) {
	if packet.Checked {
		t.Skip("the race detector lets pools forget")
	}
	tx := make(chan *packet.Buffer, 1)
	d := newDemux(edge.Out[ip.ErrorRequest]{}, testConfig(t), &Stats{})
	s := NewSockets(edge.Out[Call]{}, ip.Edges{Loop: edge.To(tx).Out()}, edge.Out[ip.Membership]{}, nil, testConfig(t), d.stats)
	c := s.newConn(netip.AddrPortFrom(anyAddr, 1000), netip.AddrPort{})
	if err := d.table.bind(c); err != nil {
		t.Fatal(err)
	}
	p, to := make([]byte, 1000), addr("10.0.0.2:1000")
	var info Info
	oob, space := controls(0, 1, 2), make([]byte, 100)
	n := testing.AllocsPerRun(1000, func() {
		c.WriteToAddrPort(p, to)
		d.datagram(deliver(t, <-tx))
		c.ReadFromAddrPort(p)
		c.WriteToAddrPort(p, to)
		d.datagram(deliver(t, <-tx))
		c.ReadMsg(p, &info)
		c.WriteMsgUDPAddrPort(p, oob, to)
		d.datagram(deliver(t, <-tx))
		c.ReadMsgUDPAddrPort(p, space)
	})
	if n != 0 || d.stats.RxDelivered.Load() < 3000 {
		t.Errorf("%v allocations; stats %+v", n, d.stats)
	}
}

package stack

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/seed-012105e5/gonet/link"
)

// TestConn runs the tests that golang.org/x/net has for any net.Conn. They
// run in real time, as they have deadlines and no bubble.
func TestConn(t *testing.T) {
	impair := link.Impairment{
		Delay: 200 * time.Microsecond, Jitter: 100 * time.Microsecond,
		Loss: 0.002, Reorder: 0.02, Duplicate: 0.01, Corrupt: 0.002, Seed: 1,
	}
	for name, middleware := range map[string][]link.Middleware{
		"Pipe":     nil,
		"Impaired": {impair.Middleware()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				p := newPair(t, middleware...)
				c1, c2 = p.connect(t)
				return c1, c2, p.close, nil
			})
		})
	}
	t.Run("Loopback", func(t *testing.T) {
		t.Parallel()
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			host := newHost(t, link.Loopback(0), "10.0.0.1/24", 1)
			c1, c2 = connect(t, host, host, "127.0.0.1:0")
			return c1, c2, func() { host.Close() }, nil
		})
	})
}

// TestConnUDP is what of nettest's ideas holds for datagrams, which may be
// lost: a connected socket answers, and its calls end by deadlines and Close
// while others use it.
func TestConnUDP(t *testing.T) {
	inRealTime(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		u := listenUDP(t, p.b, ":53")
		go func() {
			buf := make([]byte, 2000)
			for {
				n, from, err := u.ReadFrom(buf)
				if err != nil {
					return
				}
				u.WriteTo(buf[:n], from)
			}
		}()
		c := dialUDP(t, p.a, "10.0.0.2:53")
		want, got := payload(1000), make([]byte, 2000)
		for range 100 {
			c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := c.Write(want); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(got); err != nil || !bytes.Equal(got[:n], want) {
				t.Fatalf("%d bytes, %v", n, err)
			}
		}
		for _, wait := range []time.Duration{-time.Second, 0, 20 * time.Millisecond} {
			c.SetReadDeadline(time.Now().Add(wait))
			if _, err := c.Read(got); !isTimeout(err) {
				t.Errorf("deadline in %v: %v", wait, err)
			}
		}
		c.SetDeadline(time.Time{})
		var users sync.WaitGroup
		for range 10 {
			users.Go(func() {
				for range 50 {
					c.LocalAddr()
					c.RemoteAddr()
					c.Write(want)
					c.SetDeadline(time.Now().Add(time.Millisecond))
					c.Read(make([]byte, 2000))
				}
			})
		}
		users.Wait()
		c.SetDeadline(time.Time{})
		for range 10 {
			users.Go(func() {
				for {
					if _, err := c.Read(make([]byte, 2000)); err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		c.Close()
		users.Wait()
	})
}

package tcp

import (
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// TestStir: what ends a call that waits is seen by it, be the connection awake
// or asleep, and by those that began before there was any deadline.
func TestStir(t *testing.T) {
	calls := map[string]func(c *Conn) (int, error){
		"read":     func(c *Conn) (int, error) { return c.Read(make([]byte, 10)) },
		"write to": func(c *Conn) (int, error) { n, err := c.WriteTo(io.Discard); return int(n), err },
		"write":    func(c *Conn) (int, error) { return c.Write(make([]byte, 5000)) },
	}
	ends := map[string]struct {
		end  func(c *Conn)
		want error
	}{
		"a deadline":      {func(c *Conn) { c.SetDeadline(time.Now().Add(time.Minute)); time.Sleep(time.Minute) }, os.ErrDeadlineExceeded},
		"one in the past": {func(c *Conn) { c.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		"Close":           {func(c *Conn) { c.Close() }, net.ErrClosed},
	}
	for name, call := range calls {
		for by, e := range ends {
			for after, idle := range map[string]time.Duration{"awake": 0, "asleep": time.Minute} {
				t.Run(name+" by "+by+" "+after, func(t *testing.T) {
					withPeer(t, Config{SendBuffer: 1000}, func(p *peer) {
						c := p.connected()
						time.Sleep(idle)
						first := async(func() (int, error) { return call(c) })
						second := async(func() (int, error) { return call(c) }) // a Write waits for its turn
						pendingCall(t, "the first waits", first)
						pendingCall(t, "the second waits", second)
						e.end(c)
						wantError(t, "the first", (<-first).err, e.want)
						wantError(t, "the second", (<-second).err, e.want)
					})
				})
			}
		}
	}
}

// TestDeadlineAsleep: a deadline that is set before anybody waits wakes no
// process, as servers set one before they read; nor does one that is taken away
// before there was any.
func TestDeadlineAsleep(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		time.Sleep(time.Minute)
		c.SetDeadline(time.Time{})
		c.SetReadDeadline(time.Now().Add(time.Minute))
		began := time.Now()
		_, err := c.Read(make([]byte, 1))
		wantError(t, "read", err, os.ErrDeadlineExceeded)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("after %v", took)
		}
		p.wantParked(1, 0)
	})
}

// TestDeadlineRaces has deadlines set while calls begin to wait: none waits for
// ever.
func TestDeadlineRaces(t *testing.T) {
	withPeer(t, Config{ParkAfter: 1}, func(p *peer) {
		l := p.listen()
		for i := range 50 {
			p.flow.Remote.Port = uint16(1024 + i)
			c := p.accepted(l)
			var users sync.WaitGroup
			for range 4 {
				users.Go(func() {
					_, err := c.Read(make([]byte, 1))
					wantError(t, "read", err, os.ErrDeadlineExceeded)
				})
			}
			users.Go(func() { c.SetWriteDeadline(time.Now().Add(time.Second)) })
			users.Go(func() { c.SetReadDeadline(time.Now().Add(time.Second)) })
			users.Go(func() { c.SetReadDeadline(time.Now().Add(time.Second)) })
			users.Wait()
		}
	})
}

// TestParkKeeps: a connection is after it was parked what it was before.
func TestParkKeeps(t *testing.T) {
	for _, recovery := range []string{"rack", "sack", "newreno"} {
		withPeer(t, Config{Recovery: recovery}, func(p *peer) {
			c := p.connected()
			c.SetReadBuffer(200_000)
			c.SetWriteBuffer(100_000)
			c.SetNoDelay(false)
			p.send("P. 1:4(3) ack 1 win 60000")
			c.Read(make([]byte, 10))
			c.Write([]byte("abc"))
			p.want("the text", "P. 1:4(3) ack 4")
			p.send(". 4:4(0) ack 4 win 60000")
			before := c.Info()
			time.Sleep(time.Minute)
			p.wantParked(1, 0)
			after := c.Info()
			p.wantParked(1, 0)
			before.DeliveryRate, before.AppLimited, before.ReceiverRTT = 0, false, 0 // are of the moment
			if after != before {
				t.Errorf("%s:\n%+v\n%+v", recovery, before, after)
			}
		})
	}
}

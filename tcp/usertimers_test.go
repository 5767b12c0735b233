package tcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
)

// after waits for f, which blocks, answering nothing that the stack sends, and
// fails unless it returns err after d, to 10 ms.
func (p *peer) after(d time.Duration, err error, f func() error) {
	p.t.Helper()
	began := time.Now()
	ch := make(chan error, 1)
	go func() { ch <- f() }()
	for {
		p.drain()
		select {
		case got := <-ch:
			took := time.Since(began)
			if took < d-10*time.Millisecond || took > d+10*time.Millisecond {
				p.t.Errorf("after %v, want %v", took, d)
			}
			if !errors.Is(got, err) {
				p.t.Errorf("%v, want %v", got, err)
			}
			p.drain()
			return
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

func readByte(c *Conn) func() error {
	return func() error { _, err := c.Read(make([]byte, 1)); return err }
}

func (p *peer) write(c *Conn, n int) {
	p.t.Helper()
	if _, err := c.Write(make([]byte, n)); err != nil {
		p.t.Fatal(err)
	}
}

// TestUserTimers: MUST-20, MUST-21, MUST-23, MUST-27: each timer that a user sets
// fires when it should, to 10 ms, counted from where its comment says.
func TestUserTimers(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		name string
		cfg  Config
		run  func(p *peer)
	}{
		{"user timeout, nobody answers", Config{}, func(p *peer) {
			c := p.connected()
			c.SetUserTimeout(90 * second)
			time.Sleep(7 * second)
			p.write(c, 10)
			p.after(90*second, syscall.ETIMEDOUT, readByte(c))
		}},
		{"user timeout, set while text waits", Config{}, func(p *peer) {
			c := p.connected()
			p.write(c, 10)
			time.Sleep(7 * second)
			c.SetUserTimeout(30 * second)
			p.after(23*second, syscall.ETIMEDOUT, readByte(c))
		}},
		{"user timeout, shorter than what has passed", Config{}, func(p *peer) {
			c := p.connected()
			p.write(c, 10)
			time.Sleep(7 * second)
			c.SetUserTimeout(3 * second)
			p.after(0, syscall.ETIMEDOUT, readByte(c))
		}},
		{"user timeout, of the later of two writes", Config{}, func(p *peer) {
			c := p.connected()
			c.SetUserTimeout(20 * second)
			p.write(c, 10)
			time.Sleep(3 * second)
			p.write(c, 10)
			time.Sleep(second)
			p.drain()
			p.send(". 1:1(0) ack 11 win 60000")
			p.after(19*second, syscall.ETIMEDOUT, readByte(c))
		}},
		{"user timeout, the window is closed, and each probe answered", Config{}, func(p *peer) {
			c := p.connected()
			c.SetUserTimeout(40 * second)
			p.send(". 1:1(0) ack 1 win 0")
			p.write(c, 10)
			began := time.Now()
			for time.Since(began) < 39*second {
				time.Sleep(100 * time.Millisecond)
				if p.next() != nil {
					p.send(". 1:1(0) ack 1 win 0")
				}
			}
			p.after(40*second-time.Since(began), syscall.ETIMEDOUT, readByte(c))
		}},
		{"user timeout, of a FIN", Config{}, func(p *peer) {
			c := p.connected()
			c.SetUserTimeout(15 * second)
			time.Sleep(second)
			c.CloseWrite()
			p.after(15*second, syscall.ETIMEDOUT, readByte(c))
		}},
		{"Config.UserTimeout, from the first timeout on", Config{UserTimeout: 33 * second, Recovery: "newreno"}, func(p *peer) {
			c := p.connected()
			p.write(c, 10)
			p.want("the text", "P. 1:11(10) ack 1")
			for began := time.Now(); p.next() == nil; time.Sleep(time.Millisecond) {
				if time.Since(began) > 5*second {
					p.t.Fatal("nothing is sent again")
				}
			}
			p.after(33*second-time.Millisecond, syscall.ETIMEDOUT, readByte(c))
		}},
		{"ConnectTimeout", Config{ConnectTimeout: 17 * second}, func(p *peer) {
			p.after(17*second, syscall.ETIMEDOUT, func() error {
				_, err := p.sockets.Dial(context.Background(), netip.AddrPort{}, netip.AddrPortFrom(tcptest.PeerAddr, 80))
				return err
			})
		}},
		{"ConnectTimeout, Fast Open", Config{ConnectTimeout: 17 * second}, func(p *peer) {
			p.after(17*second, syscall.ETIMEDOUT, func() error {
				_, err := p.sockets.DialFastOpen(context.Background(), netip.AddrPort{}, netip.AddrPortFrom(tcptest.PeerAddr, 80), []byte("text"))
				return err
			})
		}},
		{"context of Dial", Config{}, func(p *peer) {
			ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
			defer cancel()
			p.after(2500*time.Millisecond, context.DeadlineExceeded, func() error {
				_, err := p.sockets.Dial(ctx, netip.AddrPort{}, netip.AddrPortFrom(tcptest.PeerAddr, 80))
				return err
			})
		}},
		{"keep-alive", Config{}, func(p *peer) {
			c := p.connected()
			time.Sleep(3 * second)
			c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 20 * second, Interval: 7 * second, Count: 3})
			p.after((20+3*7)*second, syscall.ETIMEDOUT, readByte(c))
		}},
		{"keep-alive, from the last segment of the peer", Config{}, func(p *peer) {
			c := p.connected()
			c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 20 * second, Interval: 7 * second, Count: 3})
			time.Sleep(15 * second)
			p.send("P. 1:2(1) ack 1 win 60000")
			if err := readByte(c)(); err != nil {
				p.t.Fatal(err)
			}
			p.after((20+3*7)*second, syscall.ETIMEDOUT, readByte(c))
		}},
		{"keep-alive, a refused segment is no life", Config{}, func(p *peer) {
			c := p.connected()
			c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 20 * second, Interval: 7 * second, Count: 3})
			time.Sleep(15 * second)
			p.send(". 1:1(0) ack 100000 win 60000")
			p.after((5+3*7)*second, syscall.ETIMEDOUT, readByte(c))
		}},
		{"linger", Config{}, func(p *peer) {
			c := p.connected()
			c.SetLinger(13)
			p.write(c, 10)
			time.Sleep(2 * second)
			p.after(13*second, nil, c.Close)
		}},
		{"read deadline", Config{}, func(p *peer) {
			c := p.connected()
			c.SetReadDeadline(time.Now().Add(1234 * time.Millisecond))
			p.after(1234*time.Millisecond, os.ErrDeadlineExceeded, readByte(c))
		}},
		{"write deadline", Config{SendBuffer: 4096}, func(p *peer) {
			c := p.connected()
			c.SetWriteDeadline(time.Now().Add(1234 * time.Millisecond))
			p.after(1234*time.Millisecond, os.ErrDeadlineExceeded, func() error { _, err := c.Write(make([]byte, 100000)); return err })
		}},
		{"deadline of a listener", Config{}, func(p *peer) {
			l := p.listen()
			defer l.Close()
			l.SetDeadline(time.Now().Add(1234 * time.Millisecond))
			p.after(1234*time.Millisecond, os.ErrDeadlineExceeded, func() error { _, err := l.Accept(); return err })
		}},
		{"DelayedACK", Config{DelayedACK: 123 * time.Millisecond}, func(p *peer) {
			c := p.connected()
			defer c.Close()
			p.slowAcks(c)
			p.send("P. 101:102(1) ack 1 win 60000")
			p.after(123*time.Millisecond, nil, func() error {
				for p.stats.DelayedACKs.Load() == 0 {
					time.Sleep(time.Millisecond)
				}
				return nil
			})
		}},
		{"FinWait2", Config{FinWait2: 9 * second}, func(p *peer) {
			c := p.connected()
			c.Close()
			p.want("the FIN", "F. 1:1(0) ack 1")
			p.send(". 1:1(0) ack 2 win 60000")
			p.after(9*second, nil, p.gone)
		}},
		{"FinWait2, Close after CloseWrite", Config{FinWait2: 9 * second}, func(p *peer) {
			c := p.connected()
			c.CloseWrite()
			p.want("the FIN", "F. 1:1(0) ack 1")
			p.send(". 1:1(0) ack 2 win 60000")
			time.Sleep(30 * second)
			c.Close()
			p.after(9*second, nil, p.gone)
		}},
		{"MSL", Config{MSL: 11 * second}, func(p *peer) {
			c := p.connected()
			c.Close()
			p.want("the FIN", "F. 1:1(0) ack 1")
			p.send("F. 1:1(0) ack 2 win 60000")
			p.after(22*second, nil, p.gone)
		}},
		{"MSL, from the FIN that comes again", Config{MSL: 11 * second}, func(p *peer) {
			c := p.connected()
			c.Close()
			p.want("the FIN", "F. 1:1(0) ack 1")
			p.send("F. 1:1(0) ack 2 win 60000")
			time.Sleep(5 * second)
			p.send("F. 1:1(0) ack 2 win 60000")
			p.after(22*second, nil, p.gone)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { withPeer(t, c.cfg, c.run) })
	}
}

// slowAcks has the peer send so much that acknowledgements are delayed.
func (p *peer) slowAcks(c *Conn) {
	p.t.Helper()
	p.send("P. 1:101(100) ack 1 win 60000")
	if _, err := c.Read(make([]byte, 100)); err != nil {
		p.t.Fatal(err)
	}
	time.Sleep(150 * time.Millisecond)
	p.drain()
	p.stats.DelayedACKs.Store(0)
}

// gone waits until the stack knows of no connection any more.
func (p *peer) gone() error {
	for {
		n := 0
		p.sockets.ask(func(_ time.Time, d *demux) { n = len(d.conns) + len(d.Infos(nil)) })
		if n == 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
	}
}

package tcp

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
)

// TestFreeLists: what a connection gives back, however it has ended, is as new: the
// next one is like the first.
func TestFreeLists(t *testing.T) {
	for name, end := range map[string]func(p *peer, c *Conn){
		"a close": func(p *peer, c *Conn) {
			c.Close()
			p.want("our FIN", "F. 1:1(0) ack 1")
			p.send("F. 1:1(0) ack 2 win 60000")
			p.want("the last acknowledgement", ". 2:2(0) ack 2")
		},
		"a close with all options changed": func(p *peer, c *Conn) {
			c.SetKeepAlive(true)
			c.SetNoDelay(false)
			c.SetReadBuffer(1 << 20)
			c.SetCongestionControl("bbr")
			c.SetLossRecovery("sack")
			c.Signals()
			c.SetDeadline(time.Now().Add(time.Hour))
			c.SetLinger(0)
			c.Close()
			p.want("a reset", "R. 1:1(0) ack 1")
		},
		"a reset, with text on its way both ways": func(p *peer, c *Conn) {
			c.Write([]byte("abc"))
			p.want("the text", "P. 1:4(3) ack 1")
			p.send("P. 1:4(3) ack 1 win 60000")
			p.send("P. 5:9(4) ack 1 win 60000")
			p.want("there is a hole", ". 4:4(0) ack 4")
			p.send("R. 4:4(0) ack 1 win 60000")
		},
		"timeouts": func(p *peer, c *Conn) {
			c.SetUserTimeout(time.Second)
			c.Write([]byte("abc"))
			time.Sleep(time.Minute)
			for range cap(p.out) {
				if p.next() == nil {
					return
				}
			}
		},
		"a time parked, and a reset": func(p *peer, c *Conn) {
			p.send("P. 1:4(3) ack 1 win 60000")
			c.Read(make([]byte, 10))
			time.Sleep(time.Minute)
			p.want("acknowledged late", ". 1:1(0) ack 4")
			p.send("R. 4:4(0) ack 1 win 60000")
		},
	} {
		t.Run(name, func(t *testing.T) {
			withPeer(t, Config{}, func(p *peer) {
				l := p.listen()
				var infos [2]Info
				for i := range infos {
					p.flow = tcptest.PeerFlow(i)
					c := p.accepted(l)
					infos[i] = c.Info()
					end(p, c)
					p.wantFree(1)
					c.Close()
				}
				infos[1].Remote = infos[0].Remote
				infos[1].LastHeard = infos[0].LastHeard
				if infos[0] != infos[1] {
					t.Errorf("the second connection begins otherwise than the first:\n%+v\n%+v", infos[0], infos[1])
				}
			})
		})
	}
}

// wantFree fails unless the transfer states of n connections are free.
func (p *peer) wantFree(n int) {
	p.t.Helper()
	synctest.Wait()
	p.sockets.ask(func(_ time.Time, d *demux) {
		if free := len(d.shared.transfers); free != n {
			p.t.Errorf("%d transfer states are free, want %d", free, n)
		}
	})
}

// TestFreeListsBound: not more is kept than the bound allows.
func TestFreeListsBound(t *testing.T) {
	withPeer(t, Config{ParkAfter: -1}, func(p *peer) {
		l := p.listen()
		var all [maxTransfers + 10]*Conn
		for i := range all {
			p.flow = tcptest.PeerFlow(i)
			all[i] = p.accepted(l)
		}
		p.wantFree(0)
		for _, c := range all {
			c.SetLinger(0)
			c.Close()
			synctest.Wait()
			(<-p.out).Release()
		}
		p.wantFree(maxTransfers)
	})
}

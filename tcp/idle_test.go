package tcp

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"
)

// idleCost is the most bytes of heap and stack that an idle connection may
// cost, with the goroutine of the user's that reads from it. About half is the
// goroutine.
const idleCost = 4500

// TestIdleCost counts the bytes of connections that are quiet while a
// goroutine reads from each: new ones, and such as have been at work.
func TestIdleCost(t *testing.T) {
	for _, c := range []struct {
		name string
		work func(p *peer, c *Conn)
	}{
		{"new", func(*peer, *Conn) {}},
		{"used", func(p *peer, c *Conn) {
			p.send("P. 1:4(3) ack 1 win 60000")
			c.Read(make([]byte, 10))
			c.Write([]byte("abc"))
			p.want("the text", "P. 1:4(3) ack 4")
			p.send(". 4:4(0) ack 4 win 60000")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const n = 4000
			withPeer(t, Config{}, func(p *peer) {
				l := p.listen()
				before := memory()
				for i := range n {
					p.flow.remote.port = uint16(1024 + i)
					conn := p.accepted(l)
					c.work(p, conn)
					go conn.Read(make([]byte, 16))
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				cost := (memory() - before) / n
				go p.discard()
				t.Logf("%d bytes", cost)
				if cost > idleCost {
					t.Errorf("an idle connection costs %d bytes, %d at most", cost, idleCost)
				}
			})
		})
	}
}

// memory is the bytes of heap and stacks in use.
func memory() int {
	runtime.GC()
	runtime.GC() // what the first has finalized
	m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(m)
	return int(m[0].Value.Uint64() + m[1].Value.Uint64())
}

// discard throws away what the stack sends from now on.
func (p *peer) discard() {
	for {
		select {
		case b := <-p.out:
			b.Release()
		case <-p.ended:
			return
		}
	}
}

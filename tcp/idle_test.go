package tcp

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// idleCost is the most bytes of heap that a quiet connection may cost. The
// goroutine of the user's that reads from it has a stack of about 2 KB as well,
// which is Go's business, and is not counted: how large it is depends on when a
// garbage collection has looked. Sizes of allocations go by steps: with one more
// field TCB costs 64 bytes more.
const idleCost = 1850

// TestIdleCost counts the bytes of connections that are quiet while a
// goroutine reads from each: of new ones, and of such as have been at work.
func TestIdleCost(t *testing.T) {
	if packet.Checked {
		t.Skip("under -race everything is larger")
	}
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
			withPeer(t, Config{}, func(p *peer) {
				var conns [4000]*Conn
				for i := range conns { // before the first look, so that they do not count
					go func() {
						time.Sleep(time.Hour)
						conns[i].Read(make([]byte, 1))
					}()
				}
				l := p.listen()
				before := memory()
				for i := range conns {
					p.flow.Remote.Port = uint16(1024 + i)
					conns[i] = p.accepted(l)
					c.work(p, conns[i])
					time.Sleep(time.Millisecond) // connections do not all begin at the same instant
				}
				time.Sleep(2 * time.Hour)
				cost := (memory() - before) / len(conns)
				p.shutdown()
				if t.Logf("%d bytes", cost); cost > idleCost {
					t.Errorf("a quiet connection costs %d bytes, which should be %d at most", cost, idleCost)
				}
			})
		})
	}
}

// memory is the bytes of heap in use.
func memory() int {
	synctest.Wait()
	runtime.GC()
	runtime.GC() // what the first has finalized
	m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(m)
	return int(m[0].Value.Uint64())
}

// shutdown ends all connections, and throws away what they say then.
func (p *peer) shutdown() {
	done := make(chan struct{})
	go func() {
		p.sockets.Shutdown()
		close(done)
	}()
	for {
		select {
		case b := <-p.out:
			b.Release()
		case <-done:
			return
		}
	}
}

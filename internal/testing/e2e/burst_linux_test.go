package e2e

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/tcp"
)

// burst opens so many connections of the kernel's to the stack, and has all of
// them send at once, several times. It returns how many frames the kernel had no
// room for in the queue of the tap.
func burst(t *testing.T, c cable, connections int) uint64 {
	c.limit = 100
	h := newHost(t, c)
	const size, rounds = 20_000, 3 // 14 segments: all that can be under way fits the queue
	arrived := make(chan int, 100)
	h.listen(t, ":9", func(c *tcp.Conn) {
		p := make([]byte, size)
		for {
			n, err := c.Read(p)
			if err != nil {
				return
			}
			arrived <- n
		}
	})
	all := make([]net.Conn, connections)
	for i := range all {
		all[i] = h.dial(t, "tcp", ours+":9")
	}
	text := make([]byte, size)
	for range rounds {
		var sent sync.WaitGroup
		for _, c := range all {
			sent.Go(func() {
				c.SetDeadline(time.Now().Add(30 * time.Second))
				if _, err := c.Write(text); err != nil {
					t.Error(err)
				}
			})
		}
		sent.Wait()
		for n := 0; n < size*len(all); {
			n += <-arrived
		}
	}
	for _, c := range all {
		c.Close()
	}
	return h.Stats()["tap0.DropHostFull"]
}

// TestBurst has 1,500 connections send at once over a plain tap: the queue of a
// tap that Open has made holds it. One of the kernel's own length does not, which
// is told, and not asked for: it depends on how fast the reader is.
func TestBurst(t *testing.T) {
	netns.Need(t)
	const connections = 1500
	if n := burst(t, cable{plain: true}, connections); n != 0 {
		t.Errorf("%d frames found no room", n)
	}
	if !testing.Short() {
		t.Logf("with a queue of 1000 frames %d find no room", burst(t, cable{plain: true, queue: 1000}, connections))
	}
}

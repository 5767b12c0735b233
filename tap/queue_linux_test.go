package tap

import (
	"net"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
)

// broadcast has the kernel send so many datagrams to all on the cable.
func broadcast(t *testing.T, ns *netns.NS, frames int) {
	t.Helper()
	c, err := ns.ListenPacket("udp4", "10.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range frames {
		if _, err := c.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 255), Port: 9}); err != nil {
			t.Fatal(err)
		}
	}
}

// A tap that Open makes holds a burst that nobody reads, and what its queue has
// no room for is counted, those of before it was opened not.
func TestTxQueue(t *testing.T) {
	ns := private(t)
	const burst = 20_000
	for _, test := range []struct {
		name        string
		premade     bool
		queue       int
		least, most uint64 // that are dropped
	}{
		{"the default", false, 0, 0, 0},
		{"a short one", false, 100, burst - 100 - 2*link.QueueLen - 10, burst - 100},
		{"a tap that is there", true, 0, burst - 1000 - 2*link.QueueLen - 10, burst - 1000},
		{"a tap that is there, made longer", true, burst, 0, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := Config{Name: "tap0", HostAddr: hostAddr, TxQueue: test.queue, DisableOffload: true}
			if test.premade {
				premade(t, ns, "tap0", modeFor(cfg))
				defer ns.Delete("tap0")
			}
			l := mustOpen(t, ns, cfg)
			broadcast(t, ns, burst)
			if n := l.Counters().DropHostFull.Load(); n < test.least || n > test.most {
				t.Errorf("%d of %d frames were dropped, want %d to %d", n, burst, test.least, test.most)
			}
			close(l.Tx)
			var got uint64
			for b := range l.Rx {
				got++
				b.Release()
			}
			n := l.Counters().DropHostFull.Load()
			if n > test.most+50 || got == 0 { // the kernel has things of its own to say
				t.Errorf("at the end %d frames were dropped, %d came", n, got)
			}
			time.Sleep(10 * time.Millisecond)
			if again := l.Counters().DropHostFull.Load(); again != n {
				t.Errorf("after the end it changes from %d to %d", n, again)
			}
		})
	}
}

package stack

import (
	"bytes"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
)

// sieve lets datagrams of up to mtu bytes through in both directions, and
// swallows larger ones without a word.
func sieve(mtu *atomic.Int64) link.Middleware {
	return func(l link.Link) link.Link {
		tx, rx := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
		go sift(tx, l.Tx, mtu)
		go sift(l.Rx, rx, mtu)
		l.Tx, l.Rx = tx, rx
		return l
	}
}

func sift(in <-chan *packet.Buffer, out chan<- *packet.Buffer, mtu *atomic.Int64) {
	const ethernet = 14
	defer close(out)
	for b := range in {
		arrived := b.Arrived
		link.Cut(b, func(b *packet.Buffer) {
			if b.Len() > int(mtu.Load())+ethernet {
				b.Release()
				return
			}
			b.Arrived = arrived
			out <- b
		})
	}
}

// TestBlackHole: RFC8899-4.3, RFC4821-7.7: a path that swallows large segments
// without a word carries a transfer in spite of that, begun with it or met on
// the way; and later connections know of it (RFC1191-6.2).
func TestBlackHole(t *testing.T) {
	for _, mtu := range []int{1400, 1200, 1000, 600} {
		for _, later := range []bool{false, true} {
			inBubble(t, func(t *testing.T) {
				var now atomic.Int64
				now.Store(int64(mtu))
				if later {
					now.Store(1500)
				}
				p := newPair(t, link.Impairment{Delay: 10 * time.Millisecond}.Middleware(), sieve(&now))
				defer p.close()
				ca, cb := p.connect(t)
				for _, way := range []struct{ from, to *tcp.Conn }{{ca, cb}, {cb, ca}} {
					if later {
						now.Store(1500)
						transfer(t, way.from, way.to, 300_000)
						now.Store(int64(mtu))
					}
					begin := time.Now()
					transfer(t, way.from, way.to, 15_000_000)
					i, d := way.from.Info(), time.Since(begin)
					t.Logf("path %d, later %v: path MTU %d after %v, %v probes", mtu, later, i.PathMTU, d, p.a.Stats()["tcp.MTUProbes"])
					if d > 12*time.Second {
						t.Errorf("path %d, later %v: took %v", mtu, later, d)
					}
					if i.PathMTU > mtu || i.PathMTU < mtu-mtu/16 && mtu >= 1024 || i.PathMTUSearch != tcp.SearchComplete {
						t.Errorf("path %d, later %v: path MTU %d, search %v", mtu, later, i.PathMTU, i.PathMTUSearch)
					}
				}
				ca.Close()
				cb.Close()
				time.Sleep(time.Second) // TIME-WAIT has begun, and the processes have ended
				if later {
					return
				}
				ca, cb = p.connect(t)
				begin := time.Now()
				transfer(t, ca, cb, 300_000)
				if d := time.Since(begin); d > time.Second {
					t.Errorf("path %d: a second connection took %v", mtu, d)
				}
				ca.Close()
				cb.Close()
			})
		}
	}
}

// transfer writes n bytes from one end and reads them at the other.
func transfer(t *testing.T, from, to *tcp.Conn, n int) {
	t.Helper()
	want := payload(n)
	go from.Write(want)
	got := make([]byte, n)
	if m, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes arrived, %v", m, n, err)
	}
}

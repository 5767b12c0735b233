package nbd

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestClientGoNet has both ends over two stacks of ours, in virtual time, joined by a
// link that loses, doubles and reorders frames. Users write, read and flush at random,
// the connections are cut now and then, and a model knows what each must read.
func TestClientGoNet(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, l := lossyStacks(t, seed)
				s := newServer(t, block.NewMemory(1<<20))
				served := make(chan error)
				go func() { served <- s.Serve(l) }()

				var mu sync.Mutex
				var conns []net.Conn
				d := clientDialers[seed]
				d.Connections, d.Replay, d.ReconnectTimeout = 3, ReplayUnflushed, time.Hour
				d.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := a.DialContext(ctx, network, address)
					if err == nil {
						mu.Lock()
						conns = append(conns, c)
						mu.Unlock()
					}
					return c, err
				}
				c, err := d.Dial(t.Context(), "nbd://10.0.0.2/a")
				if err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				for u := range 4 {
					wg.Go(func() { randomUser(t, c, rand.New(rand.NewPCG(seed, uint64(u))), u<<18, 1<<18) })
				}
				for range 5 {
					time.Sleep(500 * time.Millisecond)
					mu.Lock()
					for _, conn := range conns {
						abort(conn) // without what is still on its way
					}
					conns = nil
					mu.Unlock()
				}
				wg.Wait()
				if c.Reconnects() == 0 {
					t.Error("no connection was lost")
				}
				c.Close()
				s.Close()
				<-served
				time.Sleep(time.Hour)
			})
		})
	}
}

// randomUser owns n bytes at off of the device, and compares them with a model.
func randomUser(t *testing.T, c *Client, r *rand.Rand, off, n int) {
	model := make([]byte, n)
	for range 150 {
		at := r.IntN(n - 20000)
		p := make([]byte, 1+r.IntN(20000))
		var err error
		switch r.IntN(6) {
		case 0:
			err = c.Sync()
		case 1:
			err = c.WriteZeroes(int64(off+at), int64(len(p)), 0)
			copy(model[at:], p)
		case 2, 3:
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			_, err = c.WriteAt(p, int64(off+at))
			copy(model[at:], p)
		default:
			if _, err = c.ReadAt(p, int64(off+at)); err == nil && !bytes.Equal(p, model[at:][:len(p)]) {
				t.Errorf("%d bytes at %d are not what was written", len(p), off+at)
				return
			}
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

package udp

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/packet"
)

// Whatever its length, a queue gives back what was put in, in order.
func TestQueueOrder(t *testing.T) {
	noLeak(t)
	q := newQueue()
	put, taken := uint32(0), uint32(0)
	for _, n := range []int{1, 63, 64, 65, 1000, 5000, 3} {
		for range n {
			b := packet.Get(4)
			binary.BigEndian.PutUint32(b.Extend(4), put)
			q.put(b)
			put++
		}
		if got := q.len(); got != int(put-taken) {
			t.Fatalf("%d wait, want %d", got, put-taken)
		}
		for range n - n/3 {
			b := q.take()
			if got := binary.BigEndian.Uint32(b.Bytes()); got != taken {
				t.Fatalf("took %d, want %d", got, taken)
			}
			b.Release()
			taken++
		}
	}
	for b := q.take(); b != nil; b = q.take() {
		b.Release()
		taken++
	}
	if taken != put {
		t.Errorf("%d of %d came back", taken, put)
	}
}

// Readers that wait while sections change lose nothing and get nothing twice.
func TestQueueReaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:53")
		const readers, count = 5, 2000
		seen := make([][count]bool, readers)
		var all sync.WaitGroup
		for i := range readers {
			all.Go(func() {
				var p [4]byte
				for {
					if _, _, err := c.ReadFromUDPAddrPort(p[:]); err != nil {
						return
					}
					seen[i][binary.BigEndian.Uint32(p[:])] = true
				}
			})
		}
		for i := range uint32(count) {
			if i%500 == 0 {
				synctest.Wait() // all readers wait, and the next ones come in a burst
			}
			r.in <- received(t, "10.0.0.9:7", "10.0.0.2:53", string(binary.BigEndian.AppendUint32(nil, i)))
		}
		synctest.Wait()
		c.Close()
		all.Wait()
		for i := range count {
			n := 0
			for _, s := range seen {
				if s[i] {
					n++
				}
			}
			if n != 1 {
				t.Fatalf("datagram %d was read %d times", i, n)
			}
		}
	})
}

// SetReadBuffer holds as many bytes of data as it was asked for, in datagrams of
// usual sizes, and memory stays within twice that, whatever their size.
func TestReadBufferHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, test := range []struct {
			size  int // of a datagram's data
			bytes int // of the read buffer
			whole bool
		}{
			{1472, 1 << 20, true}, {1472, 4 << 20, true}, {1200, 2 << 20, true}, {1100, 64 << 10, true},
			{8000, 1 << 20, true}, {60000, 1 << 20, true}, {1, 64 << 10, false}, {100, 1 << 20, false}, {3000, 1 << 20, false},
		} {
			r := start(t, testConfig(t))
			c := r.listen(t, "0.0.0.0:53")
			c.SetReadBuffer(test.bytes)
			data := string(make([]byte, test.size))
			held := 0
			for c.Dropped() == 0 {
				b := received(t, "10.0.0.9:7", "10.0.0.2:53", data)
				if test.size > 2048 { // as a tap with offloads brings it
					large := packet.Get(packet.MaxSize)
					large.Append(b.Network())
					b.Release()
					b = deliver(t, large)
				}
				r.in <- b
				synctest.Wait()
				held = c.queue.len() * test.size
			}
			memory := c.queued.Load()
			if test.whole && held < test.bytes-test.size || memory > 2*int64(test.bytes) {
				t.Errorf("datagrams of %d: a buffer of %d holds %d bytes in %d of memory", test.size, test.bytes, held, memory)
			}
			if got := r.stats.Queued.Load(); got != uint64(memory) || r.stats.DropBufferFull.Load() != 1 {
				t.Errorf("datagrams of %d: stats %+v", test.size, &r.stats)
			}
			c.Close()
			synctest.Wait()
			if got := r.stats.Queued.Load(); got != 0 {
				t.Errorf("%d bytes are charged to nobody", got)
			}
		}
	})
}

// The read buffer has a floor, at which one datagram of any size still passes,
// and a ceiling.
func TestReadBufferBounds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := testConfig(t)
		cfg.ReadBuffer, cfg.MaxReadBuffer = 10_000, 20_000
		r := start(t, cfg)
		c := r.listen(t, "0.0.0.0:53")
		for _, test := range []struct{ set, want int64 }{
			{0, 2 * minReadBuffer}, {1, 2 * minReadBuffer}, {5000, 10_000}, {20_000, 40_000}, {20_001, 40_000}, {1 << 40, 40_000}, {-1, 40_000},
		} {
			if got := c.limit.Load(); test.set == 0 && got != 20_000 {
				t.Errorf("at first %d bytes of memory", got)
			}
			if err := c.SetReadBuffer(int(test.set)); err != nil || c.limit.Load() != test.want {
				t.Errorf("%d: %d bytes of memory, %v, want %d", test.set, c.limit.Load(), err, test.want)
			}
		}
		c.SetReadBuffer(0)
		r.in <- received(t, "10.0.0.9:7", "10.0.0.2:53", string(make([]byte, 60000)))
		synctest.Wait()
		if c.queue.len() != 1 {
			t.Error("a socket that held nothing refused a datagram")
		}
		r.in <- received(t, "10.0.0.9:7", "10.0.0.2:53", "x")
		synctest.Wait()
		if c.Dropped() != 1 || r.stats.DropBufferFull.Load() != 1 {
			t.Error("a full one took another")
		}
		c.Close()
		for name, err := range map[string]error{"read": c.SetReadBuffer(1), "write": c.SetWriteBuffer(1)} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("set the %s buffer of a closed socket: %v", name, err)
			}
		}
	})
}

// When all sockets together hold too much, those that hold more than their share
// take no more, and the others do.
func TestMemoryShares(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := testConfig(t)
		cfg.MaxMemory, cfg.Random = 1<<20, rand.New(rand.NewPCG(1, 2)).Uint64
		r := start(t, cfg)
		greedy := r.listen(t, "0.0.0.0:53")
		modest := r.listen(t, "0.0.0.0:54")
		data := string(make([]byte, 1472))
		for range 1000 {
			r.in <- received(t, "10.0.0.9:7", "10.0.0.2:53", data)
		}
		synctest.Wait()
		held := greedy.queued.Load()
		if held < 7<<17 || held > 1<<20 || r.stats.DropMemoryFull.Load() != 1000-uint64(held)/2048 {
			t.Errorf("it holds %d bytes; stats %+v", held, &r.stats)
		}
		for range 200 {
			r.in <- received(t, "10.0.0.9:7", "10.0.0.2:54", data)
		}
		synctest.Wait()
		if modest.Dropped() > 0 {
			t.Errorf("%d datagrams of another socket were dropped, which held less than its share", modest.Dropped())
		}
	})
}

package udp

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/testing/noninterference"
	"github.com/seed-012105e5/gonet/ip"
)

// TestMemoryTellsNothing: somebody who fills a socket whose program does not read,
// while memory is short, hardly sees by what still finds room whether a datagram
// that he has forged has met another socket, be it one of a name server's client;
// and not whether one more was opened. With a sharp edge he sees the first each
// time.
func TestMemoryTellsNothing(t *testing.T) {
	const memory, size, tries = 64 << 20, 2048, 2000
	// arrange has a socket of the observer's, which holds more than its share, and
	// one with the secret, in a stack whose sockets hold used bytes.
	arrange := func(used uint64, sockets int, random func() uint64) (d *demux, own, other *Conn) {
		cfg := testConfig(t)
		cfg.MaxMemory, cfg.Random = memory, random
		var stats Stats
		s := NewSockets(edge.Out[Call]{}, ip.Edges{}, edge.Out[ip.Membership]{}, nil, cfg, &stats)
		d = newDemux(edge.Out[ip.ErrorRequest]{}, cfg, &stats)
		d.table.count = sockets
		own, other = &Conn{sockets: s}, &Conn{sockets: s}
		own.limit.Store(memory)
		other.limit.Store(memory)
		own.queued.Store(d.share() + size)
		stats.Queued.Store(used)
		return d, own, other
	}
	takes := func(d *demux, c *Conn) bool {
		ok := d.admit(c, size) == nil
		if ok {
			c.discharge(size)
		}
		return ok
	}
	taken := func(used uint64, random func() uint64) func(bool, uint64) float64 {
		d, own, other := arrange(used, 300, random)
		return func(secret bool, _ uint64) (taken float64) {
			if secret {
				d.admit(other, size)
				defer other.discharge(size)
			}
			if takes(d, own) {
				taken = 1
			}
			return taken
		}
	}
	for _, used := range []uint64{0, memory*3/4 - size, memory * 7 / 8, memory - 2*size, memory - size} {
		if err := noninterference.Alike(tries, taken(used, rand.New(rand.NewPCG(used, 1)).Uint64)); err != nil {
			t.Errorf("with %d bytes in use, what is taken: %v", used, err)
		}
	}
	if noninterference.Alike(tries, taken(memory-size, func() uint64 { return memory/4 - 1 })) == nil {
		t.Error("a sharp edge is not found")
	}

	// held is how much finds room in his socket.
	held := func(before, after int) noninterference.World {
		return func(secret bool, seed uint64) string {
			sockets := before
			if secret {
				sockets = after
			}
			d, own, _ := arrange(memory-memory/8, sockets, rand.New(rand.NewPCG(seed, 1)).Uint64)
			own.queued.Store(0)
			for i := range 2 * memory / sockets / size {
				if d.admit(own, size) != nil {
					return fmt.Sprintln(i)
				}
			}
			return "all"
		}
	}
	if err := noninterference.Equal(20, held(300, 301)); err != nil {
		t.Errorf("one more socket: %v", err)
	}
	if noninterference.Equal(1, held(300, 600)) == nil {
		t.Error("twice as many sockets are not seen")
	}
}

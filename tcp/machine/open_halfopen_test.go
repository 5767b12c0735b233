package machine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

func newTestHalfOpen(now time.Time, cfg *Config) halfOpen {
	return newHalfOpen(now, &segment.Segment{Seq: 7, Flags: segment.SYN}, 9, 0, cfg)
}

// TestHalfOpensBounds: RFC4987-3.5: a flood of SYNs takes bounded memory, in the
// table and in its queues, and nobody who is in the table is forgotten for it.
func TestHalfOpensBounds(t *testing.T) {
	cfg := Config{SynBacklog: 100}.withDefaults()
	q := halfOpens{limit: cfg.SynBacklog, random: rand.New(rand.NewPCG(1, 2)).Uint64}
	now := tcptest.Start
	var added []ip.Flow
	for i := range 10000 {
		now = now.Add(time.Millisecond)
		q.expire(now, func(ip.Flow, *halfOpen) {})
		if !q.full() {
			q.add(tcptest.PeerFlow(i), newTestHalfOpen(now, &cfg))
			added = append(added, tcptest.PeerFlow(i))
		}
		places := 0
		for n := range q.queues {
			places += q.queues[n].Len()
		}
		if len(q.byFlow) > q.limit || places > 4*q.limit {
			t.Fatalf("%d flows, %d places, limit %d", len(q.byFlow), places, q.limit)
		}
	}
	for i, f := range added {
		if _, ok := q.byFlow[f]; !ok {
			t.Fatalf("number %d was forgotten", i)
		}
	}
	if len(added) != q.limit {
		t.Errorf("%d SYNs are remembered", len(added))
	}
}

// TestHalfOpensComplete: flows that leave at once leave no places behind that
// grow without bound.
func TestHalfOpensComplete(t *testing.T) {
	cfg := Config{SynBacklog: 10}.withDefaults()
	q := halfOpens{limit: cfg.SynBacklog}
	for i := range 1000 {
		q.add(tcptest.PeerFlow(i), newTestHalfOpen(tcptest.Start, &cfg))
		delete(q.byFlow, tcptest.PeerFlow(i))
	}
	if n := q.queues[0].Len(); n > 2*q.limit {
		t.Errorf("%d places", n)
	}
}

// TestHalfOpensRandom: MUST-22: whatever comes and goes, each flow has its SYN-ACK
// sent again after 1, 3, 7… seconds while it is there, and never after.
func TestHalfOpensRandom(t *testing.T) {
	cfg := Config{}.withDefaults()
	q := halfOpens{limit: 10000}
	rnd := rand.New(rand.NewPCG(1, 4))
	born := map[ip.Flow]time.Time{}
	sent := map[ip.Flow]int{}
	now := tcptest.Start
	for i := range 3000 {
		now = now.Add(time.Duration(rnd.IntN(200)) * time.Millisecond)
		q.expire(now, func(f ip.Flow, h *halfOpen) {
			at, ok := born[f]
			sent[f]++
			if age := now.Sub(at); !ok || age < time.Second<<sent[f]-time.Second || age > time.Second<<sent[f] {
				t.Fatalf("SYN-ACK sent again for the %d. time at age %v, known %v", sent[f], age, ok)
			}
		})
		f := tcptest.PeerFlow(i)
		q.add(f, newTestHalfOpen(now, &cfg))
		born[f] = now
		if gone := tcptest.PeerFlow(rnd.IntN(i + 1)); rnd.IntN(2) == 0 {
			delete(q.byFlow, gone)
			delete(born, gone)
		}
		for f, at := range born {
			if _, ok := q.byFlow[f]; !ok {
				if age := now.Sub(at); age < 255*time.Second {
					t.Fatalf("forgotten at age %v", age)
				}
				delete(born, f)
			}
		}
	}
}

// TestHalfOpensFromTimeWait: SYNs that take the place of connections in TIME-WAIT
// find room in a full table, up to twice its size, and not more.
func TestHalfOpensFromTimeWait(t *testing.T) {
	const limit = 4
	sc := newScene(false)
	sc.listen()
	sc.halfOpens.limit = limit
	for i := range 5 * limit {
		f := tcptest.PeerFlow(i)
		sc.timeWaits.add(f, timeWait{rcvNxt: 100, until: tcptest.Start.Add(time.Minute)}, sc.stats)
		b := tcptest.Wire(segment.Segment{Seq: 1000, Flags: segment.SYN, Opts: segment.Options{MSS: 1460}}, ip.Flow{Local: f.Remote, Remote: f.Local}, nil)
		b.Arrived = tcptest.Start
		sc.Unmatched(f, b)
	}
	if n := len(sc.halfOpens.byFlow); n != 2*limit || sc.stats.DropSynFull.Load() != 3*limit || len(sc.timeWaits.byFlow) != 3*limit {
		t.Errorf("%d are half open, %d SYNs dropped, %d in TIME-WAIT", n, sc.stats.DropSynFull.Load(), len(sc.timeWaits.byFlow))
	}
}

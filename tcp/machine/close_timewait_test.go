package machine

import (
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestTimeWaitsBounds: the table is bounded; the oldest makes room.
func TestTimeWaitsBounds(t *testing.T) {
	w := timeWaits{limit: 100}
	var stats Stats
	now := tcptest.Start
	for i := range 1000 {
		now = now.Add(time.Millisecond)
		w.add(tcptest.PeerFlow(i), timeWait{until: now.Add(time.Minute)}, &stats)
		if len(w.byFlow) > w.limit || w.queue.Len() > 2*w.limit {
			t.Fatalf("%d connections in %d places", len(w.byFlow), w.queue.Len())
		}
	}
	if _, ok := w.byFlow[tcptest.PeerFlow(999)]; !ok || len(w.byFlow) != w.limit || stats.TimeWaitsEvicted.Load() != 900 {
		t.Errorf("%d are there, %d evicted", len(w.byFlow), stats.TimeWaitsEvicted.Load())
	}
	w.expire(now.Add(time.Minute))
	if len(w.byFlow) != 0 || w.queue.Len() != 0 || !w.deadline().IsZero() {
		t.Errorf("%d are there after their time", len(w.byFlow))
	}
}

// TestTimeWaitsRestart: MUST-13: one peer that sends its FIN again and again pushes
// nobody else out, and its own wait ends 2 MSL after the last.
func TestTimeWaitsRestart(t *testing.T) {
	w := timeWaits{limit: 100}
	cfg := Config{}.withDefaults()
	var stats Stats
	other, noisy := tcptest.PeerFlow(1), tcptest.PeerFlow(2)
	now := tcptest.Start
	w.add(other, timeWait{until: now.Add(time.Minute)}, &stats)
	w.add(noisy, timeWait{sndNxt: 1, rcvNxt: 100, until: now.Add(time.Minute)}, &stats)
	for range 1000 {
		now = now.Add(time.Millisecond)
		fin := segment.Segment{Seq: 99, Ack: 1, Flags: segment.FIN | segment.ACK}
		if _, answer, reopen := w.segmentArrives(now, noisy, &fin, &cfg, &stats); !answer || reopen {
			t.Fatal("the FIN is not acknowledged")
		}
		if w.queue.Len() > 2*w.limit+1 {
			t.Fatalf("%d places", w.queue.Len())
		}
	}
	if _, ok := w.byFlow[other]; !ok || stats.TimeWaitsEvicted.Load() != 0 {
		t.Errorf("the other connection is there: %v, evicted %d", ok, stats.TimeWaitsEvicted.Load())
	}
	w.expire(now.Add(time.Minute - time.Millisecond))
	if _, ok := w.byFlow[noisy]; !ok {
		t.Error("ended before 2 MSL")
	}
	w.expire(now.Add(time.Minute))
	if len(w.byFlow) != 0 {
		t.Error("not ended after 2 MSL")
	}
}

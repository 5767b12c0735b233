package sim

import (
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// fingerprint runs a dumbbell with flows of all kinds, and returns the hashes
// of what passed each host's card.
func fingerprint(t *testing.T, seed uint64, d time.Duration) (sums []string) {
	t.Helper()
	err := Run(context.Background(), seed, func(n *Net) error {
		const pairs = 4
		bottleneck := link.Impairment{
			Rate: 20e6, Delay: 10 * time.Millisecond, Queue: 60, Loss: 0.001, Duplicate: 0.001, Corrupt: 0.0005, Reorder: 0.002,
			Manager: RedFor[seed%3],
		}
		access := func(i int) link.Impairment {
			return link.Impairment{Rate: 100e6, Delay: time.Duration(i+1) * time.Millisecond, Jitter: 100 * time.Microsecond}
		}
		all := congestion.Names()
		cfg := func(i int) tcp.Config { return tcp.Config{Congestion: all[(i+int(seed))%len(all)]} }
		b := n.Dumbbell(pairs, Both(bottleneck), access, cfg)
		hosts := append(b.Left, b.Right...)
		hashes := make([]hashed, len(hosts))
		for i, h := range hosts {
			hashes[i] = hashed{sha256.New()}
			h.Capture(hashes[i])
		}
		if err := n.Start(); err != nil {
			return err
		}
		n.Bulk(b.Left[0], b.Right[0], BulkConfig{Start: 100 * time.Millisecond, Every: 50 * time.Millisecond})
		n.Bulk(b.Left[1], b.Right[1], BulkConfig{Start: 300 * time.Millisecond, On: time.Second, Off: time.Second / 2})
		n.Bulk(b.Right[2], b.Left[2], BulkConfig{Start: 200 * time.Millisecond, End: d / 2})
		n.Churn(b.Left[3], b.Right[3], ChurnConfig{Clients: 20, Requests: 3, Request: 200, Response: 20_000, Pause: 300 * time.Millisecond})
		if err := n.Wait(d); err != nil {
			return err
		}
		for _, h := range hosts {
			h.capture.end()
		}
		for i, h := range hosts {
			sums = append(sums, fmt.Sprintf("%s %x", h.Name, hashes[i].Sum(nil)[:8]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// TestRepeats: a run is repeated exactly from its seed, on one processor and
// on two.
func TestRepeats(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	if packet.Checked {
		t.Skip("takes long")
	}
	for seed := range uint64(3) {
		first := fingerprint(t, seed, 3*time.Second)
		for i := range 4 {
			runtime.GOMAXPROCS(1 + i%2)
			again := fingerprint(t, seed, 3*time.Second)
			for j := range first {
				if again[j] != first[j] {
					t.Errorf("seed %d, run %d: %s, was %s", seed, i+2, again[j], first[j])
				}
			}
		}
	}
}

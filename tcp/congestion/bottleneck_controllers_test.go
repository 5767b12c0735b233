package congestion

import (
	"fmt"
	"testing"
	"time"
)

func factory(t *testing.T, name string) Factory {
	t.Helper()
	f, ok := ByName(name)
	if !ok {
		t.Fatalf("no controller %s", name)
	}
	return f
}

const mbit = 1e6 / 8

// TestExplore prints.
func TestExplore(t *testing.T) {
	for _, name := range Names() {
		for _, buffers := range []float64{0.25, 1, 4} {
			for _, co := range []int{1, 2, 16, 44} {
				b := &bottleneck{rate: 50 * mbit, rtt: 40 * time.Millisecond, coalesce: co}
				b.buffer = int(buffers * float64(b.bdp()))
				if name == "dctcp" {
					b.mark = b.bdp() / 5
				}
				f := b.add(0, factory(t, name))
				b.run(10 * time.Second)
				s := fmt.Sprintf("first 10 s %.3f drops %d; ", b.utilisation(), b.dropped)
				b.measure()
				b.run(60 * time.Second)
				t.Logf("%-6s buffer %.2f coalesce %2d: %s used %.3f, queue %v of %v, dropped %d, recoveries %d timeouts %d cwnd/bdp %.2f", name, buffers, co, s, b.utilisation(), b.queueDelay().Round(100*time.Microsecond),
					time.Duration(float64(b.buffer)/b.rate*1e9).Round(100*time.Microsecond), b.dropped, f.recoveries, f.timeouts, float64(f.cc.Window())/float64(b.bdp()))
			}
		}
	}
}

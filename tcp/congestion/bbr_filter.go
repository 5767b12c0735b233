package congestion

import "time"

// bandwidthFilter is max_bw: the largest bandwidth of this cycle of ProbeBW
// and of the one before (section 5.5.3), in bytes a second.
type bandwidthFilter struct{ before, now float64 }

func (f *bandwidthFilter) max() float64 { return max(f.before, f.now) }

func (f *bandwidthFilter) update(v float64) { f.now = max(f.now, v) }

// advance begins a new cycle. One without a sample is none.
func (f *bandwidthFilter) advance() {
	if f.now > 0 {
		f.before, f.now = f.now, 0
	}
}

// aggregationRounds is ExtraAckedFilterLen, in round trips.
const aggregationRounds = 10

// aggregation is extra_acked (section 5.5.9): by how much the acknowledgements
// of a while were ahead of the bandwidth. Receivers that coalesce, and trains,
// make it large; the window has to be larger by that, or the sender would
// stand still between two of them.
type aggregation struct {
	begun     time.Time
	delivered int
	largest   [aggregationRounds]int // of each of the last round trips
	round     int                    // that the newest of them belongs to
}

// update counts n bytes delivered at bandwidth, of which at most limit can be
// extra.
func (g *aggregation) update(now time.Time, n int, bandwidth float64, limit, round int) {
	expected := bandwidth * max(0, now.Sub(g.begun).Seconds())
	if float64(g.delivered) <= expected {
		g.begun, g.delivered, expected = now, 0, 0
	}
	g.delivered = min(g.delivered+max(0, n), Unlimited)
	extra := min(float64(g.delivered)-expected, float64(limit))
	g.forget(round)
	slot := &g.largest[round%aggregationRounds]
	*slot = max(*slot, int(extra))
}

// forget makes room for the round trips that have begun.
func (g *aggregation) forget(round int) {
	if round-g.round >= aggregationRounds {
		g.round = round - aggregationRounds
	}
	for g.round < round {
		g.round++
		g.largest[g.round%aggregationRounds] = 0
	}
}

// max is the largest of the last rounds round trips.
func (g *aggregation) max(rounds int) int {
	n := 0
	for i := range rounds {
		if r := g.round - i; r >= 0 {
			n = max(n, g.largest[r%aggregationRounds])
		}
	}
	return n
}

// aggregate updates extra_acked.
func (b *BBR) aggregate(s *sample) {
	b.aggregation.update(s.Now, s.Delivered, b.bandwidth, b.cwnd, b.round.count)
}

// extraAcked is extra_acked. In Startup, where the bandwidth is not yet known,
// only the last round trip counts.
func (b *BBR) extraAcked() int {
	if !b.full.reached {
		return b.aggregation.max(1)
	}
	return b.aggregation.max(aggregationRounds)
}

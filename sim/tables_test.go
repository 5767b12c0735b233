package sim

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp"
)

var update = flag.Bool("update", false, "write the tables of testdata anew")

// controllers are those of the tables. DCTCP, which is reno where nothing is
// marked, has a place in the table of queues only.
func controllers() []string { return []string{"reno", "cubic", "bbr"} }

// long says whether the tables that take minutes are wanted.
func long() bool { return os.Getenv("GONET_LONG") != "" }

// A table is a text of aligned columns.
type table struct {
	t     *testing.T
	about string
	lines []string
}

func newTable(t *testing.T, about string) *table {
	t.Helper()
	if testing.Short() || packet.Checked {
		t.Skip("takes long")
	}
	return &table{t: t, about: about}
}

func (tb *table) row(format string, args ...any) {
	tb.lines = append(tb.lines, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// run does one experiment for the table.
func (tb *table) run(e Experiment) Result {
	tb.t.Helper()
	r, err := e.Run(context.Background())
	if err != nil {
		tb.t.Fatal(err)
	}
	return r
}

// compare holds the table against the one in testdata. All runs repeat exactly
// from their seeds, so the two are the same to the last digit until TCP itself
// changes; then -update writes what is true now, and the difference shows what
// the change has done.
func (tb *table) compare(name string) {
	tb.t.Helper()
	name = filepath.Join("testdata", name)
	got := tb.about + "\n\n" + strings.Join(tb.lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			tb.t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(name)
	if err != nil {
		tb.t.Fatal(err)
	}
	want := strings.Split(string(text), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(want) || line != want[i] {
			tb.t.Errorf("%s has changed; -update writes it anew. Line %d is now\n%s\nand was\n%s", name, i+1, line, want[min(i, len(want)-1)])
		}
	}
}

func mega(rate float64) float64 { return rate / 1e6 }

// throughput is the table over all of the given.
func throughput(tb *table, rtts []time.Duration, losses, buffers []float64, d time.Duration) {
	tb.row("%-6s %-8s %7s %7s %7s | %8s %8s %6s | %9s %9s", "cc", "RTT", "loss", "buffer", "frames", "Mbit/s", "bound", "of it", "queue p50", "p99")
	for _, cc := range controllers() {
		for _, rtt := range rtts {
			for _, loss := range losses {
				for _, buffer := range buffers {
					e := Experiment{Seed: 1, Controllers: []string{cc}, RTT: rtt, Loss: loss, Buffer: buffer, Duration: d}
					r := tb.run(e)
					tb.row("%-6s %-8v %6.2f%% %7.2f %7d | %8.3f %8.3f %5.0f%% | %9v %9v", cc, rtt, 100*loss, buffer, e.Frames(),
						mega(r.Total), mega(r.Bound), 100*r.Total/r.Bound,
						r.Queue.Quantile(0.5).Round(10*time.Microsecond), r.Queue.Quantile(0.99).Round(10*time.Microsecond))
					if r.Total > r.Bound*slack(r.Bound, loss, 2*d/3) {
						tb.t.Errorf("%s, RTT %v, loss %v: %v exceeds the bound of %v by more than chance", cc, rtt, loss, mega(r.Total), mega(r.Bound))
					}
				}
			}
		}
	}
}

// slack is how far chance may lift a flow above a bound that holds on average:
// by three standard deviations of the number of losses in the time measured.
func slack(bound, loss float64, d time.Duration) float64 {
	if loss == 0 {
		return 1.001
	}
	return 1 + 3/math.Sqrt(loss*bound/8/fullText*d.Seconds())
}

const throughputAbout = `Goodput of one flow over 10 Mbit/s by RTT, loss of data and buffer (in
bandwidth-delay products), beside the bound: what the line carries, or what the
losses leave (Mathis for reno, RFC 9438 section 5.1 for cubic).`

func TestThroughput(t *testing.T) {
	tb := newTable(t, throughputAbout)
	throughput(tb, []time.Duration{20 * time.Millisecond, 100 * time.Millisecond}, []float64{0, 0.001, 0.01}, []float64{0.25, 1}, 12*time.Second)
	tb.compare("throughput.txt")
}

func TestThroughputLong(t *testing.T) {
	if !long() {
		t.Skip("GONET_LONG is not set")
	}
	tb := newTable(t, throughputAbout)
	const ms = time.Millisecond
	throughput(tb, []time.Duration{2 * ms, 10 * ms, 50 * ms, 100 * ms, 200 * ms},
		[]float64{0, 0.0001, 0.001, 0.01, 0.05}, []float64{0.1, 0.5, 1, 4}, 30*time.Second)
	tb.compare("throughput-long.txt")
}

// TestFairness has flows of one kind, and of two, share a bottleneck.
func TestFairness(t *testing.T) {
	tb := newTable(t, `Flows that share 10 Mbit/s with an RTT of 40 ms and a buffer of 1.5 BDP: goodput
in sum, Jain's index, and the least and greatest share of an even one. Spread
is how much longer the last flow's RTT is than the first's.`)
	mixes := [][]string{}
	for _, cc := range controllers() {
		mixes = append(mixes, []string{cc})
	}
	for _, cc := range controllers() {
		if cc != "reno" {
			mixes = append(mixes, []string{cc, "reno"})
		}
	}
	tb.row("%-12s %5s %6s | %8s %8s %6s %6s %6s", "cc", "flows", "spread", "Mbit/s", "bound", "Jain", "least", "most")
	for _, mix := range mixes {
		for _, flows := range []int{2, 8} {
			for _, spread := range []float64{1, 3} {
				if len(mix) > 1 && spread > 1 {
					continue
				}
				d := 12 * time.Second
				if long() {
					d = 60 * time.Second
				}
				r := tb.run(Experiment{Seed: 2, Controllers: mix, Flows: flows, RTT: 40 * time.Millisecond, Spread: spread, Buffer: 1.5, Duration: d})
				least, most := r.Goodput[0], r.Goodput[0]
				for _, g := range r.Goodput {
					least, most = min(least, g), max(most, g)
				}
				even := r.Total / float64(flows)
				tb.row("%-12s %5d %6.1f | %8.3f %8.3f %6.3f %6.2f %6.2f", strings.Join(mix, "+"), flows, spread,
					mega(r.Total), mega(r.Bound), r.Jain, least/even, most/even)
			}
		}
	}
	tb.compare(byLength("fairness"))
}

// byLength is the file of a table that has more time when long.
func byLength(name string) string {
	if long() {
		return name + "-long.txt"
	}
	return name + ".txt"
}

// TestBurstLoss cuts the line for a moment, and waits until a flow has back
// what it had.
func TestBurstLoss(t *testing.T) {
	tb := newTable(t, `One flow over 10 Mbit/s with a buffer of 1 BDP. After 6 s all is lost for a
while; recovered is when, from the beginning of that, half a second first
carried 80 % of the line again, the half second included. Less than 0: never
within 10 s.`)
	tb.row("%-6s %-8s %-8s | %9s %8s %8s", "cc", "RTT", "lost for", "recovered", "timeouts", "resent")
	for _, cc := range controllers() {
		for _, rtt := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond} {
			for _, lost := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 500 * time.Millisecond} {
				const at = 6 * time.Second
				r := tb.run(Experiment{
					Seed: 3, Controllers: []string{cc}, RTT: rtt, Duration: at + 10*time.Second, Every: time.Second,
					Losses: link.Outages{{At: at, For: lost}},
				})
				f := r.Flows[0]
				last := f.Series[len(f.Series)-1]
				back := f.RecoveredAfter(at, 500*time.Millisecond, Payload(10e6, link.DefaultMTU), 0.8)
				tb.row("%-6s %-8v %-8v | %9v %8d %8d", cc, rtt, lost, back, last.Timeouts, last.BytesResent)
				if back < 0 {
					t.Errorf("%s with an RTT of %v has not recovered from %v", cc, rtt, lost)
				}
			}
		}
	}
	tb.compare("burstloss.txt")
}

// TestBufferbloat measures how long packets wait, by how the queue is managed.
func TestBufferbloat(t *testing.T) {
	tb := newTable(t, `Delay in the queue of a bottleneck of 10 Mbit/s, for two flows with an RTT of
40 ms, by buffer (in BDP) and management of the queue; goodput in sum.`)
	tb.row("%-6s %6s %-10s | %8s %8s | %9s %9s %9s | %6s %6s", "cc", "buffer", "queue", "Mbit/s", "bound", "mean", "p50", "p99", "drops", "marks")
	for _, cc := range append(controllers(), "dctcp") {
		for _, q := range queues {
			e := Experiment{
				Seed: 4, Controllers: []string{cc}, Flows: 2, RTT: 40 * time.Millisecond, Buffer: q.buffer, Manager: q.manager, Duration: 9 * time.Second,
			}
			if q.ecn {
				e.TCP.ECN = tcp.ECNAsk
			}
			r := tb.run(e)
			delay := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
			tb.row("%-6s %6.1f %-10s | %8.3f %8.3f | %9v %9v %9v | %6d %6d", cc, q.buffer, q.name, mega(r.Total), mega(r.Bound), delay(r.Queue.Mean()),
				delay(r.Queue.Quantile(0.5)), delay(r.Queue.Quantile(0.99)), r.Queue.Drops.Load(), r.Queue.Marks.Load())
		}
	}
	tb.compare("bufferbloat.txt")
}

var queues = []struct {
	name    string
	buffer  float64
	manager link.Manager
	ecn     bool
}{
	{"tail", 1, nil, false},
	{"tail", 8, nil, false},
	{"RED", 8, link.RED{}, false},
	{"RED+ECN", 8, link.RED{ECN: true}, true},
	{"CoDel", 8, link.CoDel{}, false},
	{"CoDel+ECN", 8, link.CoDel{ECN: true}, true},
	{"step", 8, link.Step{Frames: 10}, true},
}

package sim

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
)

// TestTopologies pings each host from each other, over as many routers as there
// are.
func TestTopologies(t *testing.T) {
	wire := Both(link.Impairment{Delay: time.Millisecond})
	for name, c := range map[string]struct {
		build func(n *Net) []*Host
		links int // between two hosts at most
	}{
		"cable": {func(n *Net) []*Host { a, b, _ := n.Line(0, wire, tcp.Config{}, tcp.Config{}); return []*Host{a, b} }, 1},
		"line":  {func(n *Net) []*Host { a, b, _ := n.Line(5, wire, tcp.Config{}, tcp.Config{}); return []*Host{a, b} }, 6},
		"dumbbell": {func(n *Net) []*Host {
			d := n.Dumbbell(3, wire, func(int) link.Impairment { return wire.AB }, func(int) tcp.Config { return tcp.Config{} })
			return append(d.Left, d.Right...)
		}, 3},
		"ring": {func(n *Net) []*Host { // with a host at each of four routers
			var hosts, routers []*Host
			for _, name := range []string{"1", "2", "3", "4"} {
				h, r := n.Host("h"+name, tcp.Config{}), n.Router("r"+name)
				n.Join(h, r, wire)
				hosts, routers = append(hosts, h), append(routers, r)
			}
			for i := range routers {
				n.Join(routers[i], routers[(i+1)%4], wire)
			}
			return hosts
		}, 4},
	} {
		err := Run(context.Background(), 1, func(n *Net) error {
			hosts := c.build(n)
			if err := n.Start(); err != nil {
				return err
			}
			longest := time.Duration(0)
			for _, from := range hosts {
				for _, to := range hosts {
					if from == to {
						continue
					}
					rtt, err := from.Ping(context.Background(), to.Addr())
					if err != nil {
						t.Errorf("%s: %s to %s: %v", name, from.Name, to.Name, err)
					}
					longest = max(longest, rtt)
				}
			}
			if want := 2 * time.Duration(c.links) * time.Millisecond; longest < want || longest > want+time.Millisecond/2 {
				t.Errorf("%s: the longest way takes %v, want %v", name, longest, want)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMeasures(t *testing.T) {
	for _, c := range []struct {
		shares []float64
		want   float64
	}{{[]float64{5, 5, 5}, 1}, {[]float64{1, 0, 0, 0}, 0.25}, {[]float64{2, 1}, 0.9}, {nil, 1}, {[]float64{0, 0}, 1}} {
		if got := Jain(c.shares); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("Jain(%v) = %v, want %v", c.shares, got, c.want)
		}
	}
	if got := Mathis(1460, 100*time.Millisecond, 0.01); math.Abs(got-1.22*1460*8/(0.1*0.1)) > 1 {
		t.Errorf("Mathis is %v", got)
	}
	if !math.IsInf(Mathis(1460, time.Second, 0), 1) || !math.IsInf(Response("bbr", 1460, time.Second, 0.1), 1) {
		t.Error("there is a bound where there is none")
	}
	// RFC 9438 table 1: at a loss of 10⁻⁴ and an RTT of 100 ms CUBIC has 187
	// segments, where Reno has 122.
	if got := Response("cubic", 1, 100*time.Millisecond, 1e-4) * 0.1 / 8; math.Abs(got-187) > 1 {
		t.Errorf("a window of %v segments, want 187", got)
	}
}

// TestRecoveredAfter looks at a flow that pauses.
func TestRecoveredAfter(t *testing.T) {
	f := new(Flow)
	total := int64(0)
	for i := range 300 {
		if i < 100 || i >= 150 {
			total += 1000
		}
		f.Received = append(f.Received, total)
	}
	rate := 8 * 1000 / Bin.Seconds()
	if got := f.Goodput(0, time.Second); math.Abs(got-rate) > 1e-6 {
		t.Errorf("goodput %v, want %v", got, rate)
	}
	if got, want := f.RecoveredAfter(time.Second, 100*time.Millisecond, rate, 0.8), 580*time.Millisecond; got != want {
		t.Errorf("recovered after %v, want %v", got, want)
	}
	if got := f.RecoveredAfter(time.Second, 100*time.Millisecond, 2*rate, 0.8); got >= 0 {
		t.Errorf("recovered after %v", got)
	}
}

// TestUnknownController: an experiment says what it does not know.
func TestUnknownController(t *testing.T) {
	if _, err := (Experiment{Controllers: []string{"none"}}).Run(context.Background()); err == nil {
		t.Error("it ran")
	}
}

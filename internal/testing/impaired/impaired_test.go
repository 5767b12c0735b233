//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

func TestMain(m *testing.M) { netns.Main(m) }

// TestNotFarBehind has two cells of the table not far from the kernel's figures,
// from and to the stack: a bound so loose that only what is broken misses it.
// The command measures.
func TestNotFarBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("9 s, in real time")
	}
	netns.Test(t) // or a skip
	netns.NeedTun(t)
	m, err := startMetronome()
	if err != nil {
		t.Fatal(err)
	}
	defer m.stop()
	table := table{
		settings: settings{congestion: "cubic", rate: 40e6, buffer: 4 << 20, time: time.Second, seed: 2},
		paths:    paths, rounds: 3, parallel: 5,
	}
	for _, c := range []cell{{rtt: 20 * time.Millisecond, loss: 0.01}, {rtt: 20 * time.Millisecond, reorder: 0.05}} {
		r, err := table.row(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(table.line(&r))
		base := quantile(r.Samples[paths[0].name], 0.5)
		for _, p := range paths[1:] {
			if got := quantile(r.Samples[p.name], 0.5); got < 0.4*base {
				t.Errorf("%v, %v: %.2f Mbit/s, and from kernel to kernel %.2f", c, p, got, base)
			}
		}
	}
}

// TestImpairment: half of the round trip lies on each way, and the queue holds
// what is under way in a whole one.
func TestImpairment(t *testing.T) {
	s := settings{rate: 1e9}
	c := cell{rtt: 100 * time.Millisecond, loss: 0.01}
	if got := c.queue(&s); got != 12_500_000/frameLen {
		t.Errorf("a queue of %d frames", got)
	}
	if i := c.impairment(&s, 7); i.Delay != 50*time.Millisecond || i.Loss != 0.01 || i.Seed != 7 || i.Rate != 1e9 {
		t.Errorf("%+v", i)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		of      []float64
		q, want float64
	}{
		{[]float64{3}, 0.5, 3}, {[]float64{1, 9, 3}, 0.5, 3}, {[]float64{4, 2}, 0.5, 3}, {[]float64{1, 2, 3}, 1, 3}, {[]float64{5, 1, 3}, 0.25, 2},
	} {
		var samples []sample
		for _, v := range c.of {
			samples = append(samples, sample{Mbits: v})
		}
		if got := quantile(samples, c.q); got != c.want {
			t.Errorf("quantile %v of %v is %v, want %v", c.q, c.of, got, c.want)
		}
	}
}

func TestSelected(t *testing.T) {
	var names []string
	for _, c := range selected(cells, "rtt 20ms") {
		names = append(names, c.String())
	}
	want := []string{"rtt 20ms, loss 0.1 %", "rtt 20ms, loss 1 %", "rtt 20ms, loss 5 %", "rtt 20ms, reordering 5 %"}
	if !slices.Equal(names, want) {
		t.Errorf("cells %s", strings.Join(names, "; "))
	}
}

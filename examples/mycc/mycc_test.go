package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/sim/lab"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// seen is what a run of the program has shown of one control.
type seen struct {
	Control   string
	Bound     float64
	Goodput   struct{ Mean float64 } // bit/s
	QueueMean struct{ Mean float64 } // seconds
}

// runs runs the program, and returns what it says of each congestion control.
func runs(t *testing.T, args string) map[string]seen {
	t.Helper()
	var out bytes.Buffer
	if err := lab.Run(t.Context(), config, append(strings.Fields(args), "-json", "-"), &out); err != nil {
		t.Fatal(err)
	}
	var result struct{ Summary []seen }
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		t.Fatalf("%v in\n%s", err, &out)
	}
	all := map[string]seen{}
	for _, s := range result.Summary {
		all[s.Control] = s
		t.Logf("%s: %.2f of the bound, queue of %.1f ms", s.Control, s.Goodput.Mean/s.Bound, 1e3*s.QueueMean.Mean)
	}
	return all
}

// TestVegasAgainstCubic holds vegas to what it claims: the line is full, and each
// flow keeps 2 to 4 segments in the queue. With more than two flows it keeps more, as
// Vegas is known for: flows that begin late never see the way without a queue.
func TestVegasAgainstCubic(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short: two minutes of a line of 20 Mbit/s")
	}
	const segment = 1514 * 8 / 20e6 // seconds on the line
	for _, flows := range []int{1, 2} {
		all := runs(t, fmt.Sprintf("-flows %d", flows))
		if len(all) != 2 {
			t.Fatalf("%v", all)
		}
		for _, s := range all {
			if s.Goodput.Mean < 0.95*s.Bound {
				t.Errorf("%d flows: %s has %.2f of the bound", flows, s.Control, s.Goodput.Mean/s.Bound)
			}
		}
		most := float64(flows) * (mostQueued + 1) * segment
		if q := all["vegas"].QueueMean.Mean; q > most {
			t.Errorf("%d flows: vegas keeps a queue of %.1f ms, want %.1f at most", flows, 1e3*q, 1e3*most)
		}
		if q := all["cubic"].QueueMean.Mean; q < 3*most {
			t.Errorf("%d flows: cubic keeps a queue of %.1f ms only: the line shows nothing", flows, 1e3*q)
		}
	}
}

// TestOneFile: a congestion control of one's own takes one file of less than a
// hundred lines, and nothing of GoNet but what any module may import.
func TestOneFile(t *testing.T) {
	text, err := os.ReadFile("vegas.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n >= 100 {
		t.Errorf("%d lines", n)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "vegas.go", text, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range file.Imports {
		if strings.Contains(i.Path.Value, "internal") {
			t.Errorf("imports %s", i.Path.Value)
		}
	}
}

func TestRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-cc nothing": "vegas", // among those that there are
		"-rate -1":    "-rate",
		"vegas":       `unexpected argument "vegas"`,
	} {
		if err := lab.Run(t.Context(), config, strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestVegas drives it by hand: it grows, stays and shrinks by what waits.
func TestVegas(t *testing.T) {
	const mss, ms = 1000, time.Millisecond
	for _, x := range []struct {
		rtt  time.Duration
		want int // segments more, with a window of 20 and 100 ms at best
	}{
		{100 * ms, 1}, {110 * ms, 1}, // 1.8 segments wait
		{115 * ms, 0}, {120 * ms, 0}, // 2.6, 3.3
		{130 * ms, -1}, {500 * ms, -6}, // 4.6, 16
	} {
		v := NewVegas(congestion.Params{MSS: mss, Window: 20 * mss}).(*Vegas)
		v.Ssthresh = v.Cwnd
		v.Acked(congestion.Ack{Acked: mss, RTT: x.rtt, MinRTT: 100 * ms, Round: true, Limited: true})
		if got := (v.Cwnd - 20*mss) / mss; got != x.want {
			t.Errorf("at %v: %d segments more, want %d", x.rtt, got, x.want)
		}
	}
	// What it takes back must not come again by slow start.
	v := NewVegas(congestion.Params{MSS: mss, Window: 20 * mss}).(*Vegas)
	v.Ssthresh = v.Cwnd
	for range 5 {
		v.Acked(congestion.Ack{Acked: mss, RTT: 200 * ms, MinRTT: 100 * ms, Round: true, Limited: true})
	}
	if w := v.Window(); w < 10*mss || w > 11*mss { // 20, 17, 14.75 …
		t.Errorf("after five rounds with a queue the window is %d", v.Window())
	}
	v = NewVegas(congestion.Params{MSS: mss, Window: 20 * mss}).(*Vegas)
	v.Lost(congestion.Loss{Flight: 20 * mss})
	if v.Window() != 10*mss {
		t.Errorf("after a loss the window is %d", v.Window())
	}
}

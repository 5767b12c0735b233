package main

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// runs runs the program in a bubble, and returns the goodput in Mbit/s and the
// mean round-trip time of each congestion control.
func runs(t *testing.T, args string) (goodput map[string]float64, rtt map[string]time.Duration) {
	t.Helper()
	var out bytes.Buffer
	before := packet.Live()
	synctest.Test(t, func(t *testing.T) {
		if err := run(t.Context(), strings.Fields(args), &out); err != nil {
			t.Fatal(err)
		}
	})
	if left := packet.Live() - before; left != 0 {
		t.Errorf("%d packets are left", left)
	}
	goodput, rtt = map[string]float64{}, map[string]time.Duration{}
	for line := range strings.Lines(out.String()) {
		var name, least, mean string
		var rate float64
		if n, _ := fmt.Sscanf(line, "%s %f Mbit/s %s %s", &name, &rate, &least, &mean); n == 4 {
			goodput[name] = rate
			rtt[name], _ = time.ParseDuration(mean)
		}
	}
	t.Logf("\n%s", &out)
	return goodput, rtt
}

func TestVegasAgainstCubic(t *testing.T) {
	goodput, rtt := runs(t, "cubic,vegas")
	if goodput["vegas"] < 18 || goodput["cubic"] < 18 { // of 20, less headers and slow start
		t.Errorf("goodput %v", goodput)
	}
	if rtt["vegas"] > 45*time.Millisecond || 2*rtt["cubic"] < 3*rtt["vegas"] {
		t.Errorf("round-trip times %v", rtt)
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
	synctest.Test(t, func(t *testing.T) {
		for _, args := range []string{"nothing", "-rate -1", "cubic also"} {
			if err := run(t.Context(), strings.Fields(args), io.Discard); err == nil {
				t.Errorf("%q is accepted", args)
			}
		}
	})
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
		{130 * ms, -1}, {500 * ms, -1}, // 4.6, 16
	} {
		v := NewVegas(congestion.Params{MSS: mss, Window: 20 * mss}).(*Vegas)
		v.Ssthresh = v.Cwnd
		v.Acked(congestion.Ack{Acked: mss, RTT: x.rtt, MinRTT: 100 * ms, Round: true, Limited: true})
		if got := (v.Cwnd - 20*mss) / mss; got != x.want {
			t.Errorf("at %v: %d segments more, want %d", x.rtt, got, x.want)
		}
	}
	v := NewVegas(congestion.Params{MSS: mss, Window: 20 * mss}).(*Vegas)
	v.Lost(congestion.Loss{Flight: 20 * mss})
	if v.Window() != 10*mss {
		t.Errorf("after a loss the window is %d", v.Window())
	}
}

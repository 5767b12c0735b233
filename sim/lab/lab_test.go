package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func runs(t *testing.T, args string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Run(t.Context(), Config{}, strings.Fields(args), &out); err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	return out.String()
}

func TestLab(t *testing.T) {
	for args, want := range map[string]string{
		"-duration 3s": `\n1 +\w+ +[0-9]+ms +[0-9.]+ Mbit/s 100.0%`,
		"-duration 3s -flows 3 -cc cubic,reno -spread 2 -queue codel": `\n2     reno `,
		"-duration 3s -routers 2 -loss 0.01 -queue red -cc reno":      `% of the bound`,
		"-duration 3s -bursts 0.001,0.2 -queue step -rate 2M -seed 7": `seed 7\n`,
		"-duration 5s -queue codel+ecn -buffer 8":                     `, [1-9]\d* marked\n`,
		"-duration 3s -queue codel -buffer 4 -rtt 0s":                 `queue of \d+ frames`,
		"-duration 1s -loss 1":                                        `\n1 +was never established\n\nall   0 bit/s, - of the bound of 0 bit/s`,
		"-duration 3s -cross 0.3":                                     `\ncross traffic: [1-9]\d* transfers, `,
		"-duration 3s -flows 2 -starts 0s,1s":                         `\n2 +cubic +1s `,
		"-duration 3s -each -cc reno,bbr":                             `(?s)\nreno .*\nbbr .*6s of network`,
		"-duration 2s -runs 3":                                        `(?s)\ndefault +[0-9.]+ Mbit/s ± [0-9.]+ .bit/s .*; seeds 1 to 3\n`,
	} {
		t.Run(args, func(t *testing.T) {
			if out := runs(t, args); !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("no %s in\n%s", want, out)
			}
		})
	}
}

// TestRepeats compares two runs, but for the real time that they take.
func TestRepeats(t *testing.T) {
	const args = "-flows 2 -loss 0.005 -duration 5s -seed 3 -pcap "
	var outs, pcaps [2]string
	for i := range outs {
		dir := t.TempDir()
		out := runs(t, args+filepath.Join(dir, "lab")+" -csv "+filepath.Join(dir, "lab.csv"))
		outs[i] = regexp.MustCompile(`network in .*;`).ReplaceAllString(out, "")
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) != 5 {
			t.Fatalf("%v, %v", files, err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil || len(text) < 1000 {
				t.Errorf("%s: %d bytes, %v", name, len(text), err)
			}
			pcaps[i] += string(text)
		}
	}
	if outs[0] != outs[1] {
		t.Errorf("first\n%sthen\n%s", outs[0], outs[1])
	}
	if pcaps[0] != pcaps[1] {
		t.Error("the files differ")
	}
}

func TestRefuses(t *testing.T) {
	for _, args := range []string{
		"argument", "-nothing", "-cc none", "-flows 0", "-rate 1", "-rtt -1s", "-loss 2", "-loss NaN", "-bursts 1", "-bursts 2,1", "-bursts 0.1,0.1x",
		"-buffer 0", "-queue fifo", "-queue tail+ecn", "-routers 1 -flows 2", "-duration 0s", "-warmup 1h", "-every 0s", "-spread 0.5",
		"-duration 10000h -csv /nowhere/at/all", "-duration 10000h -pcap /nowhere/at/all", "-duration 10000h -json /nowhere/at/all", // at once
		"-each", "-runs 0", "-cross 2", "-cross 0.1 -routers 1", "-starts soon", "-starts -1s",
	} {
		if err := Run(t.Context(), Config{}, strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Config{}, []string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "Usage: lab [flags]") {
		t.Errorf("%v, printed %s", err, &out)
	}
}

// TestInterrupt ends a run that would take long.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := Run(ctx, Config{}, []string{"-duration", "10000h"}, io.Discard)
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 10*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

// TestSeeds shows that another seed is another run.
func TestSeeds(t *testing.T) {
	strip := func(out string) string { return regexp.MustCompile(`\n[^\n]* of network.*`).ReplaceAllString(out, "") }
	if one, two := strip(runs(t, "-duration 3s -flows 2 -seed 1")), strip(runs(t, "-duration 3s -flows 2 -seed 2")); one == two {
		t.Errorf("seeds 1 and 2 have both\n%s", one)
	}
}

// TestJSON reads what -json writes.
func TestJSON(t *testing.T) {
	var got struct {
		Rate float64
		Runs []struct {
			Seed         uint64
			Total, Bound float64
			Flows        []struct{ Goodput, Start, RTT float64 }
			Queue        struct{ Frames, Mean, P99 float64 }
		}
		Summary []struct {
			Control string
			Goodput struct{ Mean, Confidence95 float64 }
		}
	}
	out := runs(t, "-duration 2s -flows 2 -runs 2 -json -")
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if got.Rate != 10e6 || len(got.Runs) != 2 || got.Runs[1].Seed != 2 || len(got.Summary) != 1 {
		t.Fatalf("%+v", got)
	}
	r := got.Runs[0]
	if len(r.Flows) != 2 || r.Flows[0].Goodput+r.Flows[1].Goodput != r.Total || r.Flows[0].RTT < 0.04 || r.Queue.Frames == 0 || r.Total > r.Bound {
		t.Errorf("%+v", r)
	}
	if s := got.Summary[0]; s.Control != "default" || s.Goodput.Mean != (r.Total+got.Runs[1].Total)/2 || s.Goodput.Confidence95 == 0 {
		t.Errorf("%+v", s)
	}
}

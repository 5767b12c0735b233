package main

import (
	"bytes"
	"context"
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
	if err := run(t.Context(), strings.Fields(args), &out); err != nil {
		t.Fatalf("%s: %v", args, err)
	}
	return out.String()
}

func TestLab(t *testing.T) {
	for args, want := range map[string]string{
		"-duration 3s": `\n1 +\w+ +[0-9.]+ Mbit/s 100.0%`,
		"-duration 3s -flows 3 -cc cubic,reno -spread 2 -queue codel": `\n2     reno `,
		"-duration 3s -routers 2 -loss 0.01 -queue red -cc reno":      `% of the bound`,
		"-duration 3s -bursts 0.001,0.2 -queue step -rate 2M -seed 7": `seed 7\n`,
		"-duration 5s -queue codel+ecn -buffer 8":                     `, [1-9]\d* marked\n`,
		"-duration 3s -queue codel -buffer 4 -rtt 0s":                 `queue of \d+ frames`,
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
		"-duration 1s -csv /nowhere/at/all", "-duration 1s -pcap /nowhere/at/all",
	} {
		if err := run(t.Context(), strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "Usage: lab [flags]") {
		t.Errorf("%v, printed %s", err, &out)
	}
}

// TestInterrupt ends a run that would take long.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := run(ctx, []string{"-duration", "10000h"}, io.Discard)
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 10*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/paper/internal/result"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// TestMain is the main of the servers and clients too, which are this program
// again.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && (os.Args[1] == roleServer || os.Args[1] == roleClient) {
		serveOrders(os.Args[1], os.Args[2])
		return
	}
	netns.Main(m)
}

// needNamespaces skips a test where there are none to be had, or fails it in CI.
func needNamespaces(t *testing.T) {
	t.Helper()
	netns.Test(t)
	netns.NeedTun(t)
}

// TestMeasure makes two short measurements of each kind on each subject. One of
// them may fail: after a loss a stack may be silent for longer than that.
func TestMeasure(t *testing.T) {
	needNamespaces(t)
	expression := "^(bulk to the server, 8 streams|bulk from the server, 1 stream|1 byte over UDP, 64.*|connections.* 32.*|200 idle.*|layers.*UDP.*|read of.*|6 hops.*busy)$"
	o, err := parse([]string{"-rounds", "2", "-seconds", "0.1", "-idle", "200", "-only", expression}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	b, err := newBench(o, &out)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := b.run(ctx); err != nil {
		t.Fatal(err)
	}
	for _, w := range b.works {
		for _, s := range b.subjects {
			if w.fits(s) {
				checkFigures(t, b.results, w.name, s)
			}
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
	noChildren(t)
}

// checkFigures looks for figures that cannot be.
func checkFigures(t *testing.T, r *result.Results, work string, s subject.Subject) {
	t.Helper()
	found := false
	for _, series := range r.Series {
		if series.Work != work || series.Subject != s.Key {
			continue
		}
		found = true
		for _, m := range []result.Metric{
			result.Goodput, result.Rate, result.P50, result.FrameSize, result.PerFrame,
			result.EstablishTime, result.Answering, result.CloseTime,
		} {
			if series.Metric == m && series.Values[0] <= 0 {
				t.Errorf("%s, %s: %s is %v", work, s.Key, m.Name, series.Values[0])
			}
		}
	}
	if !found {
		t.Errorf("%s, %s: there are no figures", work, s.Key)
	}
}

// TestInterrupt ends a run in the midst of a measurement.
func TestInterrupt(t *testing.T) {
	needNamespaces(t)
	o, err := parse([]string{"-only", "bulk to the server, 8", "-seconds", "60"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBench(o, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel)
	start := time.Now()
	if err := b.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it has taken %v to end", took)
	}
	noChildren(t)
}

// noChildren looks for processes that are left.
func noChildren(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(os.Getpid()) + "/task/*/children")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(text)) != "" {
			t.Errorf("processes %s are left", text)
		}
	}
}

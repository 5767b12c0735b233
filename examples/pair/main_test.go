package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/pattern"
	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/examples/internal/testing/exampletest"
	"github.com/seed-012105e5/gonet/packet"
)

// runs runs the program in a bubble, and returns what it prints.
func runs(t *testing.T, args string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	var err error
	before := packet.Live()
	synctest.Test(t, func(t *testing.T) { err = run(t.Context(), strings.Fields(args), &out) })
	if left := packet.Live() - before; left != 0 {
		t.Errorf("%d packets are left", left)
	}
	return out.String(), err
}

func TestPair(t *testing.T) {
	for args, want := range map[string]string{
		"-size 3M":                         "received     3000000 bytes",
		"-size 0":                          "received     0 bytes",
		"-size 1M -rate 10M -delay 5ms":    "goodput      9.",
		"-size 200k -loss 0.05 -delay 1ms": "pipe-b.DropImpaired",
		"-size 200k -reorder 0.05":         "received     200000 bytes",
		"-size 5k -text":                   "10.0.0.2.5001: Flags [S]",
		"-size 5k -stats":                  "counters of 10.0.0.2\n",
		"-size 5k -pcap " + filepath.Join(t.TempDir(), "pair.pcap"): "pair.pcap",
	} {
		t.Run(args, func(t *testing.T) {
			out, err := runs(t, args)
			if err != nil || !strings.Contains(out, want) || !strings.Contains(out, " as sent\n") {
				t.Errorf("%v; no %q in\n%s", err, want, out)
			}
		})
	}
}

func TestPairRefuses(t *testing.T) {
	for _, args := range []string{"-size -1", "-size many", "argument", "-pcap /nowhere/at/all"} {
		if out, err := runs(t, args); err == nil {
			t.Errorf("%s: printed %q", args, out)
		}
	}
}

// TestInterrupt ends a transfer that would take long.
func TestInterrupt(t *testing.T) {
	// A stack that ends with text in flight stays a while, to answer challenges.
	const stays = 500 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		err := run(ctx, []string{"-size", "1G", "-rate", "1M", "-queue", "5"}, io.Discard)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took < 3*time.Second || took > 3100*time.Millisecond+stays {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestProgress(t *testing.T) {
	exampletest.Bubble(t, []string{"-rate", "10M"}, func(t *testing.T, p *setup.Pair) {
		var out bytes.Buffer
		transfer := transfer{from: p.A, to: p.B, size: 1_000_000, pattern: pattern.New(), progress: &out}
		if _, err := transfer.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "\r"); n < 8 || n > 10 || !strings.Contains(out.String(), "bit/s") {
			t.Errorf("%d lines of progress: %q", n, out.String())
		}
	})
}

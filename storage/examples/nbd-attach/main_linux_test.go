package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
)

// The program at work is in the tests of package nbd, in a guest.
func TestRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":                               "want a URI",
		"a b c":                          "want a URI",
		"-connections 17 memory:1M":      "-connections 17",
		"nothing:x":                      "nothing",
		"nbd://127.0.0.1:1/m":            "127.0.0.1:1",
		"memory:1M /dev/null":            "/dev/null is no network block device",
		"memory:1M /dev/none":            "/dev/none",
		"-sector 100 memory:1M":          "sectors of 100 bytes",
		"-sector 8192 memory:1M":         "sectors of 8192 bytes",
		"-addr 10.0.0.2/24 -host x a:b ": "-host",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := run(ctx, strings.Fields(args), io.Discard)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "memory:64M") || program.ExitCode(err) != 0 {
		t.Errorf("%v, printed %s", err, &out)
	}
}

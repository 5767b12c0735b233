package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"strings"
	"testing"
)

// TestServe has the program say what it serves, and list it.
func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-listen", "127.0.0.1:0", "-redir", "127.0.0.1:0", "-cdrom", "memory:1M", "-device", "memory:2M", "-stats"}, w)
		w.CloseWithError(io.EOF)
		ended <- err
	}()
	lines := bufio.NewScanner(r)
	for _, want := range []string{"CD-ROM", "disk"} {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), want) {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
	}
	// usbip --tcp-port PORT attach -r HOST -b 1-2
	words := strings.Fields(lines.Text())
	if len(words) < 10 || words[8] != "-b" || words[9] != "1-2" {
		t.Fatalf("%q", words)
	}
	go io.Copy(io.Discard, r)
	c, err := net.Dial("tcp", net.JoinHostPort(words[7], words[4]))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte{1, 0x11, 0x80, 5, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if list, err := io.ReadAll(c); err != nil || !strings.Contains(string(list), "1-2\x00") || strings.Contains(string(list), "1-1\x00") {
		t.Errorf("%q, %v", list, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestUsage refuses command lines, and explains itself.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"x"}, {"-device", "memory:1M", "-speed", "warp"}, {"-device", "memory:1M", "more"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	if err := run(t.Context(), []string{"-device", "nothing:1"}, io.Discard); err == nil {
		t.Error("an unknown kind of disk")
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "usbip attach -r") {
		t.Errorf("%v: %s", err, out.String())
	}
}

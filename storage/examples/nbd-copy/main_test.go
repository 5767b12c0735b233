package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// server exports a device in memory under the name m.
func server(t *testing.T, size int64) string {
	t.Helper()
	var s nbd.Server
	if err := s.Add(nbd.Export{Name: "m", Device: block.NewMemory(size)}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "nbd://" + l.Addr().String() + "/m"
}

// content is data, zeroes and holes, in a file of an odd length.
func content(t *testing.T, path string) []byte {
	t.Helper()
	p := make([]byte, 5<<20+513)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range p {
		if block := i / 65536; block%3 != 1 {
			p[i] = byte(random.Uint32())
		}
	}
	if err := os.WriteFile(path, p, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCopy copies a file to a server, and from there to another file.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	source, copied := filepath.Join(dir, "source,1"), filepath.Join(dir, "copy.img") // a name with a comma
	want := content(t, source)
	uri := server(t, int64(len(want)))
	for _, connections := range []string{"1", "4"} {
		os.Remove(copied)
		for _, ends := range [][2]string{{source, uri}, {uri, copied}} {
			var out bytes.Buffer
			if err := run(t.Context(), []string{"-verify", "-connections", connections, ends[0], ends[1]}, &out); err != nil {
				t.Fatalf("%v: %v", ends, err)
			}
			if !strings.Contains(out.String(), "copied in") {
				t.Errorf("printed %q", &out)
			}
		}
		if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
		}
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	size := int64(len(content(t, source)))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no arguments":     {nil, "FROM and TO"},
		"too small":        {[]string{source, server(t, size-1)}, "less than"},
		"no source":        {[]string{filepath.Join(dir, "nothing"), "memory:1M"}, "nothing"},
		"no server":        {[]string{"nbd://127.0.0.1:1/m", "memory:1M"}, "refused"},
		"no such export":   {[]string{server(t, size) + "x", "memory:1M"}, "mx"},
		"read-only":        {[]string{source, "memory:64M,ro"}, "read-only"},
		"many connections": {[]string{"-connections", "17", "a", "b"}, "-connections"},
	} {
		if err := run(t.Context(), c.args, io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, []string{source, server(t, size)}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

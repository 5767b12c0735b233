package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/vhostblk"
)

// TestServe writes to two disks, and finds what was written in the file when the
// program has ended. Nobody locks the file before it is used.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	file, first, second := filepath.Join(dir, "disk.img"), filepath.Join(dir, "a"), filepath.Join(dir, "b")
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-serial", "S1", "-socket", first, "-device", "file:" + file + ",create,size=1M", "-socket", second, "-device", "memory:64K"}, w)
		w.CloseWithError(io.EOF)
		ended <- err
	}()
	lines := bufio.NewScanner(r)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "-chardev") {
		t.Log(lines.Text())
	}
	go io.Copy(io.Discard, r)
	other, err := block.OpenFile(file, block.FileConfig{})
	if err != nil {
		t.Fatalf("it is locked before somebody uses it: %v", err)
	}
	other.Close()
	text := bytes.Repeat([]byte("written "), 512)
	for _, path := range []string{first, second} {
		f, err := vhostblk.Dial(path, vhostblk.FrontendConfig{})
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := f.WriteAt(text, 4096); err != nil {
			t.Error(err)
		}
		if _, err := f.ReadAt(got, 4096); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %v", path, err)
		}
		if serial, err := f.Serial(); err != nil || serial != "S1" {
			t.Errorf("serial number %q, %v", serial, err)
		}
		if path == first {
			if other, err := block.OpenFile(file, block.FileConfig{}); !errors.Is(err, block.ErrInUse) {
				t.Errorf("a file in use is opened by another: %v", err)
				other.Close()
			}
		}
		f.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if content, err := os.ReadFile(file); err != nil || len(content) != 1<<20 || !bytes.Equal(content[4096:4096+len(text)], text) {
		t.Errorf("the file has %d bytes, %v", len(content), err)
	}
}

// TestUsage has command lines that are wrong, and asks for help.
func TestUsage(t *testing.T) {
	for _, args := range []string{"", "-socket /tmp/x", "-device memory:1M", "-socket /tmp/x -device memory:1M more", "-nonsense",
		"-socket /tmp/x -device memory:1M -device memory:1M"} {
		if err := run(t.Context(), strings.Fields(args), io.Discard); program.ExitCode(err) != 2 {
			t.Errorf("%q: %v", args, err)
		}
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "vhost-user-blk-pci") {
		t.Errorf("%v, %s", err, &out)
	}
	if err := run(t.Context(), []string{"-socket", t.TempDir() + "/s", "-device", "file:/nowhere/disk"}, io.Discard); err == nil {
		t.Error("a file that is not there")
	}
}

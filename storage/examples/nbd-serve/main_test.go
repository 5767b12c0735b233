package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// start runs the program, and returns the URIs that it prints and its end.
func start(t *testing.T, args ...string) (uris []string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { err := run(ctx, args, w); w.CloseWithError(io.EOF); ended <- err }()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if uri := strings.Fields(lines.Text())[0]; strings.Contains(uri, "://") {
			uris = append(uris, uri)
		}
		if len(uris) == strings.Count(strings.Join(args, " "), "-export") {
			break
		}
	}
	go io.Copy(io.Discard, r)
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() { stop() })
	if len(uris) == 0 {
		t.Fatalf("it has not begun: %v", stop())
	}
	return uris, stop
}

// TestServe writes to a disk in memory and to a file, and finds what was written in
// the file when the program has ended.
func TestServe(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk.img")
	uris, stop := start(t, "-listen", "127.0.0.1:0", "-export", "m=memory:1M", "-export", "f=file:"+disk+",size=1M,create")
	text := bytes.Repeat([]byte("written "), 1000)
	for _, uri := range uris {
		c, err := nbd.Dial(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := c.WriteAt(text, 4096); err != nil {
			t.Error(err)
		}
		if _, err := c.ReadAt(got, 4096); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %v", uri, err)
		}
		c.Close()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if content, err := os.ReadFile(disk); err != nil || len(content) != 1<<20 || !bytes.Equal(content[4096:4096+len(text)], text) {
		t.Errorf("the file has %d bytes, %v", len(content), err)
	}
}

// TestUnix serves at a socket of the file system, read-only, and again where one is
// left.
func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 2 {
		uris, stop := start(t, "-listen", "unix:"+path, "-read-only", "-export", "=memory:64K")
		if want := "nbd+unix:///?socket=" + path; uris[0] != want {
			t.Errorf("%s, want %s", uris[0], want)
		}
		c, err := nbd.Dial(t.Context(), uris[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.WriteAt([]byte{1}, 0); err == nil || !c.ReadOnly() {
			t.Error("a read-only disk was written to")
		}
		c.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestNotes serves an image with snapshots behind another image, as the base of an
// overlay.
func TestNotes(t *testing.T) {
	qemuImg := need.Program(t, "qemu-img")
	dir := t.TempDir()
	for _, args := range [][]string{
		{"create", "-q", "-f", "qcow2", "golden.qcow2", "1M"}, {"snapshot", "-c", "first", "golden.qcow2"},
		{"create", "-q", "-f", "qcow2", "-b", "golden.qcow2", "-F", "qcow2", "disk.qcow2"},
	} {
		cmd := exec.Command(qemuImg, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("qemu-img %q: %v: %s", args, err, out)
		}
	}
	disk := "overlay:" + filepath.Join(dir, "changes") + ",base=image:" + filepath.Join(dir, "disk.qcow2")
	for quiet, want := range map[string]int{"-stats": 1, "-quiet": 0} {
		// It ends before it serves.
		var out bytes.Buffer
		run(t.Context(), []string{quiet, "-listen", "nowhere", "-export", "d=" + disk}, &out)
		if n := strings.Count(out.String(), "note: golden.qcow2: 1 internal snapshots are ignored\n"); n != want {
			t.Errorf("%s: %d notes in %q", quiet, n, &out)
		}
	}
}

func TestRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":                               "nothing to export",
		"-export memory":                 "NAME=DISK",
		"-export m=memory:64M argument":  `"argument"`,
		"-export m=nothing:x":            "nothing",
		"-export m=file:/nowhere/at/all": "/nowhere/at/all",
		"-export m=memory:1M -export m=memory:1M": "m",
		"-export m=memory:1M -tls sometimes":      "sometimes",
		"-export m=memory:1M -tls required":       "-cert",
		"-export m=memory:1M -cert x":             "-tls",
		"-export m=memory:1M -listen nowhere":     "nowhere",
		"-export m=memory:1M -rootless -listen x": "-rootless",
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

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
)

// TestGuest has the program serve a disk to the guest that examples/vm boots, whose card
// is joined to GoNet's stack by vhost-user as well: the guest mounts the disk, and a page
// of a file there crosses the network. What the guest has written is in the file when the
// program has ended.
func TestGuest(t *testing.T) {
	guest.Need(t)
	dir := t.TempDir()
	file, socket, vm := filepath.Join(dir, "disk.img"), filepath.Join(dir, "disk.sock"), filepath.Join(dir, "vm")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 32<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(need.Program(t, "mkfs.ext4"), "-q", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("go", "build", "-o", vm, "github.com/seed-012105e5/gonet/examples/vm").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-socket", socket, "-device", "file:" + file}, w)
		w.Close()
		ended <- err
	}()
	if _, err := r.Read(make([]byte, 1)); err != nil { // it listens
		t.Fatal(<-ended)
	}
	go io.Copy(io.Discard, r)
	limited, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	cmd := exec.CommandContext(limited, vm, "-disk-socket", socket)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends its guest
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"the disk is mounted", "the guest has fetched a page", `http://10.0.0.2/disk/boots is "booted `} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %s", want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	check := exec.Command(need.Program(t, "e2fsck"), "-fy", file)              // what is in its journal counts, too
	if out, err := check.CombinedOutput(); check.ProcessState.ExitCode() > 1 { // 1: it has used the journal
		t.Errorf("%v: %s", err, out)
	}
	text, err := exec.Command(need.Program(t, "debugfs"), "-R", "cat boots", file).Output()
	if err != nil || !strings.HasPrefix(string(text), "booted ") {
		t.Errorf("the file system has %q, %v", text, err)
	}
}

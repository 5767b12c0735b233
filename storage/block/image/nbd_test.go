package image

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// TestServed has QEMU read an image that is served, and compare it with the file.
func TestServed(t *testing.T) {
	dir := t.TempDir()
	base, name := filepath.Join(dir, "base.qcow2"), filepath.Join(dir, "disk.qcow2")
	create(t, base, "compat=0.10", 3<<20)
	scribble(t, base, 1, 3<<20, 64<<10, true)
	create(t, name, "extended_l2=on,compression_type=zstd", 8<<20, "base.qcow2", "qcow2")
	scribble(t, name, 2, 8<<20, 64<<10, true)
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := spec.Builtin().With(Kind()).Open(t.Context(), "image:"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var server nbd.Server
	if err := server.Add(nbd.Export{Name: "disk", Device: d}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	defer func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-done
	}()

	uri := "nbd+unix:///disk?socket=" + socket
	tool(t, "qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", uri, name)
	copied := filepath.Join(dir, "copy.qcow2")
	tool(t, "qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", "-c", uri, copied)
	tool(t, "qemu-img", "compare", "-q", name, copied)
	compare(t, copied, Config{})
	if after, err := os.ReadFile(name); err != nil || string(after) != string(before) {
		t.Error("the image has changed", err)
	}
}

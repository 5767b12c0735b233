package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// TestBucket copies a file to a bucket, with a journal and without, and from there to
// another file.
func TestBucket(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("disks"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	dir := t.TempDir()
	source, copied := filepath.Join(dir, "source"), filepath.Join(dir, "copy")
	want := content(t, source)
	for _, options := range []string{"", ",log=1M,journal=" + filepath.Join(dir, "journal")} {
		os.Remove(copied)
		disk := "s3:disks/copy" + options + ",endpoint=" + server.URL
		for _, ends := range [][2]string{{source, disk + ",chunk=64K,create,size=6M"}, {disk, copied}} {
			if err := run(t.Context(), []string{"-verify", "-quiet", ends[0], ends[1]}, os.Stdout); err != nil {
				t.Fatalf("%v: %v", ends, err)
			}
		}
		got, err := os.ReadFile(copied)
		if err != nil || len(got) != 6<<20 || !bytes.Equal(got[:len(want)], want) {
			t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
		}
	}
}

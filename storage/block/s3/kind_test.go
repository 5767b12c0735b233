package s3_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/s3"
	"github.com/seed-012105e5/gonet/storage/block/spec"
)

// server is an S3 server in memory, with one bucket.
func server() *httptest.Server {
	backend := s3mem.New()
	if err := backend.CreateBucket("disks"); err != nil {
		log.Fatal(err)
	}
	return httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
}

// A disk of 1 TB takes no room in the bucket until it holds something.
func ExampleOpen() {
	server := server()
	defer server.Close()
	ctx := context.Background()
	c := s3.Config{Endpoint: server.URL, Bucket: "disks", Name: "vm1", AccessKey: "key", SecretKey: "secret"}
	c.Create, c.Size = true, 1<<40
	c.Journal = block.NewMemory(16 << 20) // in earnest, a file near the machine, by block.OpenFile
	d, err := s3.Open(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	d.WriteAt([]byte("hello"), 1<<39)
	d.Sync()           // it is in the journal now
	d.Upload(ctx, nil) // and in the bucket now
	c.Journal = block.NewMemory(16 << 20)
	_, err = s3.Open(ctx, c) // there is one writer
	fmt.Println(strings.Contains(err.Error(), "another program uses it"))
	disk, err := block.NewDisk(d)
	if err != nil {
		log.Fatal(err)
	}
	disk.Extents(0, 1<<40, func(e block.Extent) bool {
		fmt.Println(e.Off>>20, e.Length>>20, e.Hole)
		return true
	})
	fmt.Println(d.Close())
	// Output:
	// true
	// 0 524288 true
	// 524288 4 false
	// 524292 524284 true
	// <nil>
}

// TestKind opens disks by what a user writes.
func TestKind(t *testing.T) {
	server := server()
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	set := spec.Builtin().With(s3.Kind(nil))
	journal := filepath.Join(t.TempDir(), "a,b")
	at := ",endpoint=" + server.URL + ",journal=" + strings.ReplaceAll(journal, ",", ",,") + ",log=1M,chunk=64K"
	d, err := set.Open(t.Context(), "s3:disks/one"+at+",create,size=10M")
	if err != nil {
		t.Fatal(err)
	}
	if size, err := d.Size(); size != 10<<20 || err != nil {
		t.Errorf("%d bytes, %v", size, err)
	}
	if _, err := d.WriteAtFUA([]byte("text"), 100); err != nil {
		t.Error(err)
	}
	if _, err := set.Open(t.Context(), "s3:disks/one"+at); err == nil || !strings.Contains(err.Error(), "journal") {
		t.Errorf("a journal that is in use: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{"s3:disks/one" + at, "s3://disks/one#ro" + at, "s3:disks/one" + at + ",ro,delay=1ms"} {
		d, err := set.Open(t.Context(), again)
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 4)
		if _, err := d.ReadAt(p, 100); err != nil || string(p) != "text" || d.ReadOnly() != strings.Contains(again, "ro") {
			t.Errorf("%s: %q, %v, read-only %v", again, p, err, d.ReadOnly())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	for bad, want := range map[string]string{
		"s3:disks":                                  "s3:BUCKET/NAME",
		"s3:disks/two" + at:                         "no such disk",
		"s3:disks/two" + at + ",create":             "size=SIZE",
		"s3:disks/two,create,size=1M,chunk=5000":    "power of two",
		"s3:disks/two,create,size=1M,chunk=1G":      "power of two",
		"s3:disks/one,cache=x":                      "no size",
		"s3:disks/one,takeover=perhaps":             "true or false",
		"s3:disks/one,secret=x":                     `no option "secret"`,
		"s3:disks/one,endpoint=ftp://x":             "http://HOST",
		"s3:nothing/one,endpoint=" + server.URL:     "NoSuchBucket",
		"s3:disks/one,journal=/nowhere/at/all,ro=x": "true or false",
		"s3:disks/one,journal=/nowhere/at/all":      "/nowhere",
	} {
		d, err := set.Open(t.Context(), bad)
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) && !(want == "NoSuchBucket" && strings.Contains(err.Error(), "bucket")) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
}

// TestRefused opens a disk of a server that does not want the user: that is told at
// once.
func TestRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>")
	}))
	defer server.Close()
	_, err := s3.Open(t.Context(), s3.Config{Endpoint: server.URL, Bucket: "disks", Name: "x", AccessKey: "a", SecretKey: "b"})
	if err == nil || !strings.Contains(err.Error(), "Access Denied") {
		t.Errorf("%v", err)
	}
}

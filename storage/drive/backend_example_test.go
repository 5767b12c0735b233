package drive_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// A web is a drive.Backend of one's own: the medium is what a URL shows, for clients that
// boot by HTTP.
type web struct {
	mu     sync.RWMutex // held for reading by those who use the medium
	medium drive.Medium
}

// Insert shows the medium.
func (b *web) Insert(_ context.Context, m drive.Medium) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.medium = m
	return nil
}

// Eject takes the medium away. Downloads under way lock it, unless forced: then it waits
// for their end.
func (b *web) Eject(_ context.Context, force bool) error {
	if force {
		b.mu.Lock()
	} else if !b.mu.TryLock() {
		return drive.ErrLocked
	}
	defer b.mu.Unlock()
	b.medium = drive.Medium{}
	return nil
}

// Close has nothing to take away.
func (b *web) Close() error { return nil }

// ServeHTTP answers a download, of a range as well.
func (b *web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.medium.Disk == nil {
		http.Error(w, "no medium", http.StatusNotFound)
		return
	}
	size, err := b.medium.Disk.Size()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, b.medium.Name, time.Time{}, io.NewSectionReader(b.medium.Disk, 0, size))
}

// A backend of one's own is three methods. This one is a URL at which the medium is while
// the drive is connected.
func ExampleBackend_ofOnesOwn() {
	dir, err := os.MkdirTemp("", "drive")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := imagestore.Open(imagestore.Config{Dir: dir})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	if err := os.WriteFile(filepath.Join(dir, "images", "hello.img"), make([]byte, 1<<20), 0o644); err != nil {
		panic(err)
	}
	if err := store.Refresh(); err != nil {
		panic(err)
	}
	backend := new(web)
	server := httptest.NewServer(backend)
	defer server.Close()
	d, err := drive.New(drive.Config{Store: store, Backend: backend})
	if err != nil {
		panic(err)
	}
	defer d.Close()
	get := func(when string) {
		r, err := http.Get(server.URL)
		if err != nil {
			panic(err)
		}
		defer r.Body.Close()
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Println(when, r.Status, n > 1000)
	}
	ctx, image := context.Background(), "hello.img"
	get("disconnected:")
	fmt.Println(d.SetParams(ctx, drive.Params{Image: &image}), d.Connect(ctx))
	get("connected:")
	fmt.Println(d.Disconnect(ctx, true)) // after downloads under way
	get("disconnected:")
	// Output:
	// disconnected: 404 Not Found false
	// <nil> <nil>
	// connected: 200 OK true
	// <nil>
	// disconnected: 404 Not Found false
}

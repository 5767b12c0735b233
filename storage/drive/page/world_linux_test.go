package page

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/api"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
	"github.com/seed-012105e5/gonet/storage/internal/testing/chromium"
)

// A shelf is a backend for tests: what is in the drive lies on it.
type shelf struct{ state chan shelfState }

type shelfState struct {
	medium *drive.Medium
	locked bool  // Eject without force fails
	insert error // of Insert
}

func (b *shelf) at(f func(s *shelfState)) {
	s := <-b.state
	defer func() { b.state <- s }()
	f(&s)
}

func (b *shelf) Insert(_ context.Context, m drive.Medium) (err error) {
	b.at(func(s *shelfState) {
		if err = s.insert; err == nil {
			s.medium = &m
		}
	})
	return err
}

func (b *shelf) Eject(_ context.Context, force bool) (err error) {
	b.at(func(s *shelfState) {
		if s.locked && !force {
			err = drive.ErrLocked
			return
		}
		s.medium, s.locked = nil, false
	})
	return err
}

func (b *shelf) Close() error { return nil }

// A world is a server with the page, which can end and begin again at its address. Its users
// are view, operate and upload, whose passwords are their names.
type world struct {
	t       *testing.T
	dir     string
	address string
	shelves map[string]*shelf // of drives, by name
	holds   chan hold         // holds the hold while nobody does

	store  *imagestore.Store
	drives []*drive.Drive
	api    *api.Server
	web    *http.Server
}

// A hold is where uploads stop until they are let go on, or cut off.
type hold struct {
	at       int64         // the offset in the image; from 0
	let, cut chan struct{} // closed when they go on, or break off; nil: there is no hold
	offsets  []string      // of all requests with data that there were
}

func newWorld(t *testing.T, drives ...string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "page-")
	if err != nil {
		dir = t.TempDir()
	}
	w := &world{t: t, dir: dir, address: "127.0.0.1:0", shelves: map[string]*shelf{}, holds: make(chan hold, 1)}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if len(drives) == 0 {
		drives = []string{"drive"}
	}
	for _, name := range drives {
		w.shelves[name] = &shelf{make(chan shelfState, 1)}
		w.shelves[name].state <- shelfState{}
	}
	w.holds <- hold{}
	w.start(drives...)
	t.Cleanup(w.stop)
	return w
}

// start starts the server.
func (w *world) start(drives ...string) {
	w.t.Helper()
	check := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	var users []api.User
	for role := api.View; role <= api.Upload; role++ {
		hash, err := bcrypt.GenerateFromPassword([]byte(role.String()), bcrypt.MinCost)
		check(err)
		users = append(users, api.User{Name: role.String(), Role: role, Password: string(hash)})
	}
	var err error
	w.store, err = imagestore.Open(imagestore.Config{Dir: w.dir, SyncEvery: 256 << 10, Static: []string{"fixed/*"}})
	check(err)
	w.drives = nil
	for _, name := range drives {
		d, err := drive.New(drive.Config{Name: name, Store: w.store, Backend: w.shelves[name]})
		check(err)
		w.drives = append(w.drives, d)
	}
	w.api, err = api.New(api.Config{Store: w.store, Drives: w.drives, Auth: api.NewAuth(users), Page: Handler(), Fetch: api.Fetch{Private: true}})
	check(err)
	var l net.Listener
	for late := time.Now().Add(chromium.Patience); ; time.Sleep(10 * time.Millisecond) {
		if l, err = net.Listen("tcp", w.address); !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(late) {
			break
		}
	}
	check(err)
	w.address = l.Addr().String()
	w.web = &http.Server{Handler: w.held(w.api)}
	go w.web.Serve(l)
}

// stop ends the server as if it were killed: no connection lives on.
func (w *world) stop() {
	w.web.Close()
	w.letGo() // what is held fails now
	w.api.Close()
	for _, d := range w.drives {
		d.Close()
	}
	w.store.Close()
}

// restart ends the server and begins it again.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	var names []string
	for _, d := range w.drives {
		names = append(names, d.Name())
	}
	w.start(names...)
}

// holdAt has uploads stop at an offset of the image.
func (w *world) holdAt(offset int64) {
	h := <-w.holds
	h.at, h.let, h.cut = offset, make(chan struct{}), make(chan struct{})
	w.holds <- h
}

// cut has uploads that are held break off, as if their connections had: the server does not
// see by itself that the client has gone while it is held.
func (w *world) cut() {
	h := <-w.holds
	close(h.cut)
	h.let = nil
	w.holds <- h
}

// letGo has uploads go on.
func (w *world) letGo() {
	h := <-w.holds
	if h.let != nil {
		close(h.let)
		h.let = nil
	}
	w.holds <- h
}

// offsets are those at which requests with data have begun since the last call.
func (w *world) offsets() []string {
	h := <-w.holds
	all := h.offsets
	h.offsets = nil
	w.holds <- h
	return all
}

// held has uploads be held.
func (w *world) held(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); strings.HasSuffix(r.URL.Path, "/msd/write") && !q.Has("begin") {
			h := <-w.holds
			h.offsets = append(h.offsets, q.Get("offset"))
			if w.holds <- h; h.let != nil {
				var offset int64
				fmt.Sscan(q.Get("offset"), &offset)
				r.Body = &heldBody{r.Body, h.at - offset, h}
			}
		}
		next.ServeHTTP(rw, r)
	})
}

// A heldBody stops after some bytes.
type heldBody struct {
	io.ReadCloser
	left int64
	hold hold
}

func (b *heldBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		select {
		case <-b.hold.let:
			return b.ReadCloser.Read(p)
		case <-b.hold.cut:
			return 0, io.ErrUnexpectedEOF
		}
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// put puts an image into the store by hand.
func (w *world) put(name string, data []byte) {
	w.t.Helper()
	file := filepath.Join(w.dir, "images", name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, data, 0o666)); err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.Refresh(); err != nil {
		w.t.Fatal(err)
	}
}

// has compares an image with a file.
func (w *world) has(name, file string) {
	w.t.Helper()
	got, want := sum(w.t, filepath.Join(w.dir, "images", name)), sum(w.t, file)
	if got != want {
		w.t.Errorf("the image %s is another than the file", name)
	}
}

func sum(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// newFile makes a file of random bytes, and returns its path.
func newFile(t *testing.T, name string, size int) string {
	t.Helper()
	r := rand.NewChaCha8([32]byte{byte(len(name))})
	data := make([]byte, size)
	r.Read(data)
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func (w *world) url() string { return "http://" + w.address + "/" }

// open opens the page and signs in.
func (w *world) open(t *testing.T, b *chromium.Browser, user string) *chromium.Page {
	t.Helper()
	p := b.Open(t, w.url())
	signIn(p, user, user)
	p.Until("the page is live", `find("#link", "Live") && find("h3", "drive")`)
	t.Cleanup(func() {
		if all := p.Complaints(); len(all) > 0 {
			t.Errorf("the browser complains: %q", all)
		}
	})
	return p
}

func signIn(p *chromium.Page, user, password string) {
	p.Click("input[name=user]", "")
	p.Type(user)
	p.Click("input[name=passwd]", "")
	p.Type(password)
	p.Click("#signin button", "Sign in")
}

// row is the row of an image, as an expression.
func row(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#images > li")].find((r) => r.querySelector("h3").textContent === %q)`, name)
}

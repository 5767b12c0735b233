package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/testing/chromium"
)

// A front is an address that passes connections on to the program, wherever that is after
// it was started again. It lets so many bytes through to it, and no more until it is opened.
type front struct {
	net.Listener
	to     atomic.Value // string
	left   atomic.Int64
	opened chan struct{}
}

func newFront(t *testing.T, bytes int64) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &front{Listener: l, opened: make(chan struct{})}
	f.left.Store(bytes)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.pass(c)
		}
	}()
	return f
}

// pass passes one connection on, until either end closes it.
func (f *front) pass(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", f.to.Load().(string))
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		defer c.Close()
		io.Copy(c, s)
	}()
	io.Copy(struct{ io.Writer }{s}, gated{c, f})
}

// gated is a connection whose bytes the front counts.
type gated struct {
	net.Conn
	front *front
}

func (g gated) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if g.front.left.Add(-int64(n)) < 0 {
		<-g.front.opened
	}
	return n, err
}

// TestPage uploads an image by the page, and kills the program in the midst of it: the page
// says so, and the upload goes on to its end when the program is there again. Then it
// connects the image, and a machine reads it. In CI the image has 300 MB, else 24.
func TestPage(t *testing.T) {
	size := int64(24 << 20)
	if os.Getenv("CI") == "true" || os.Getenv("GONET_LONG") != "" {
		size = 300e6
	}
	b := chromium.Start(t)
	file := filepath.Join(t.TempDir(), "large.img")
	want := writeRandom(t, file, size)
	dir := filepath.Join(t.TempDir(), "store")
	c := start(t, dir, "")
	f := newFront(t, size/2)
	at := func(c *child) { f.to.Store(c.base[len("https://"):]) }
	at(c)
	p := b.Open(t, "https://"+f.Addr().String()+"/")
	signIn := func() {
		t.Helper()
		p.Click("input[name=user]", "")
		p.Type("admin")
		p.Click("input[name=passwd]", "")
		p.Type(c.password)
		p.Click("#signin button", "Sign in")
	}
	signIn()
	p.Until("the page is live", `find("#link", "Live") && find("h3", "drive")`)
	p.Files("#files", file)
	late := time.Now().Add(chromium.Patience)
	for c.state().Storage.Uploads["large.img"].Written < size/4 {
		if time.Now().After(late) {
			t.Fatal("the upload does not come to a quarter")
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.kill()
	p.Until("the page says that there is no connection", `find("#link", "Not connected") && find(".image", "It goes on by itself")`)
	c = start(t, dir, c.password)
	kept := c.state().Storage.Uploads["large.img"].Written
	if kept == 0 || kept >= size {
		t.Errorf("after the kill %d of %d bytes are there", kept, size)
	}
	at(c)
	close(f.opened)
	p.Until("somebody has to sign in", `find("#signin")`)
	signIn()
	p.Until("the upload is complete", `find(".image .facts", "raw · ")`)
	image, err := os.Open(filepath.Join(dir, "images", "large.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	h := sha256.New()
	if n, err := io.Copy(h, image); err != nil || n != size || hex.EncodeToString(h.Sum(nil)) != want {
		t.Errorf("the image has %d bytes of %d, and is another: %v", n, size, err)
	}

	p.Until("the image can be chosen", `[...document.querySelector(".drive select").options].some((o) => o.value === "large.img")`)
	p.Eval(`(() => { const s = document.querySelector(".drive select"); s.value = "large.img"; s.dispatchEvent(new Event("change")); })()`, nil)
	p.Click(".drive button", "Connect")
	p.Until("it is connected", `find(".status", "Connected: a disk, read-only")`)
	waitConnected(t, c) // reads 4096 bytes
	p.Until("the page shows what was read", `find("figcaption .read", "4.10 kB in all")`)
	p.Click(".drive button", "Disconnect")
	p.Until("it is disconnected", `find(".status", "Disconnected")`)
	if all := p.Complaints(); len(all) > 0 {
		t.Errorf("the browser complains: %q", all)
	}
}

// writeRandom makes a file of random bytes, and returns its SHA-256.
func writeRandom(t *testing.T, file string, size int64) string {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.Reader, size)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

package httpdisk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

func random(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// A file is a handler that serves its content as package http does, by ranges.
type file struct {
	mu      sync.Mutex
	content []byte
	etag    string
	date    time.Time
	delay   time.Duration
	before  func(w http.ResponseWriter, r *http.Request) (done bool)

	now, most, requests int // requests under way
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests++
	f.now++
	f.most = max(f.most, f.now)
	content, etag, date, delay, before := f.content, f.etag, f.date, f.delay, f.before
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	if delay > 0 {
		time.Sleep(delay)
	}
	if before != nil && before(w, r) {
		return
	}
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	http.ServeContent(w, r, "disk.img", date, bytes.NewReader(content))
}

func (f *file) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// A client of a handler, without sockets, so that a bubble has virtual time.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	type result struct {
		r   *http.Response
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- result{nil, fmt.Errorf("the connection is gone: %v", v)}
			}
		}()
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		res := w.Result()
		if n := w.Header().Get("X-Cut"); n != "" {
			res.Body = io.NopCloser(io.LimitReader(res.Body, 100))
		}
		done <- result{res, nil}
	}()
	select {
	case res := <-done:
		return res.r, res.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func open(t *testing.T, f http.Handler, c Config) *Disk {
	t.Helper()
	c.Client = &http.Client{Transport: direct{f}}
	d, err := Open(t.Context(), "http://server/disk.img", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestHTTPDisk is over sockets of the kernel and package http's own server.
func TestHTTPDisk(t *testing.T) {
	content := random(1<<20+4321, 1)
	server := httptest.NewServer(&file{content: content, etag: `"1"`})
	defer server.Close()
	for _, c := range []Config{{}, {Block: 4096, Cache: 20 << 10, Parallel: 2}, {ReadAhead: -1, Block: 64 << 10}} {
		blocktest.TestDevice(t, func(t *testing.T) block.Device {
			d, err := Open(t.Context(), server.URL+"/x", c)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(content))
			if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, content) {
				t.Fatalf("what was read is not what is served (%v)", err)
			}
			return d
		})
	}
}

// TestCache reads twice, forward, and from many goroutines.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const unit = 4096
		f := &file{content: random(100*unit+10, 2), etag: `"1"`, delay: time.Second}
		d := open(t, f, Config{Block: unit, Cache: 50 * unit, Parallel: 4, ReadAhead: 2})
		p := make([]byte, 100)
		read := func(i int64) time.Duration {
			t.Helper()
			began := time.Now()
			if _, err := d.ReadAt(p, i*unit); err != nil || !bytes.Equal(p, f.content[i*unit:][:100]) {
				t.Errorf("block %d: %v", i, err)
			}
			return time.Since(began)
		}
		for _, c := range []struct {
			block int64
			want  time.Duration
		}{{10, time.Second}, {10, 0}, {11, 0}} {
			if took := read(c.block); c.block != 11 && took != c.want {
				t.Errorf("block %d took %v, want %v", c.block, took, c.want)
			}
		}
		read(50)
		read(51) // forward: 52 and 53 are fetched ahead
		time.Sleep(time.Minute)
		if took := read(52); took != 0 {
			t.Errorf("a block that was fetched ahead took %v", took)
		}
		time.Sleep(time.Minute)
		before := f.count()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				p := make([]byte, 100)
				d.ReadAt(p, 80*unit)
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		if n := f.count() - before; n > 3 {
			t.Errorf("20 readers of one block made %d requests", n)
		}
		all := make([]byte, len(f.content))
		began := time.Now()
		if _, err := d.ReadAt(all, 0); err != nil || !bytes.Equal(all, f.content) {
			t.Error(err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("101 blocks, 4 at a time, took %v", took)
		}
		c := <-d.cache
		if len(c.blocks) > 50 || c.order.Len() != len(c.blocks) {
			t.Errorf("%d blocks are kept", len(c.blocks))
		}
		d.cache <- c
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.most > 4 {
			t.Errorf("%d requests were under way at once", f.most)
		}
	})
}

// TestChanged changes the file on the server: reads fail, and nothing is mixed.
func TestChanged(t *testing.T) {
	old, date := random(1<<20, 3), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, change := range map[string]func(f *file){
		"another ETag":           func(f *file) { f.etag = `"2"` },
		"another date":           func(f *file) { f.etag, f.date = "", date.Add(time.Hour) },
		"a shorter file":         func(f *file) { f.content, f.etag = f.content[:1<<19], `"2"` },
		"a longer file":          func(f *file) { f.content, f.etag, f.date = append(f.content, 1), "", time.Time{} },
		"no ranges any more":     func(f *file) { f.before = whole },
		"If-Range is ignored":    func(f *file) { f.etag = `"2"`; f.before = ignoreIfRange },
		"Not Found, another day": func(f *file) { f.before = gone },
	} {
		f := &file{content: bytes.Clone(old), etag: `"1"`, date: date}
		if name == "another date" || name == "a longer file" {
			f.etag = ""
		}
		d := open(t, f, Config{Block: 4096, ReadAhead: -1})
		p := make([]byte, 10000)
		if _, err := d.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
		f.content = random(1<<20, 4)
		change(f)
		if _, err := d.ReadAt(p, 500000); err == nil || name != "Not Found, another day" && !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.ReadAt(p, 0); err != nil || !bytes.Equal(p, old[:len(p)]) {
			t.Errorf("%s: what was cached: %v", name, err)
		}
		if n := d.Stats().Retries; n != 0 {
			t.Errorf("%s: %d retries of what cannot be mended", name, n)
		}
	}
}

func whole(w http.ResponseWriter, r *http.Request) bool { r.Header.Del("Range"); return false }

func ignoreIfRange(w http.ResponseWriter, r *http.Request) bool {
	r.Header.Del("If-Range")
	return false
}

func gone(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true }

// TestRetries has the server fail in all ways that pass by themselves.
func TestRetries(t *testing.T) {
	for name, fail := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"503":           func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(503); return true },
		"429":           func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(429); return true },
		"torn":          func(w http.ResponseWriter, r *http.Request) bool { w.Header().Set("X-Cut", "1"); return false },
		"no connection": func(w http.ResponseWriter, r *http.Request) bool { panic("reset") },
		"no answer": func(w http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var failing atomic.Int32
				f := &file{content: random(1<<20, 5), etag: `"1"`}
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					if failing.Add(-1) >= 0 {
						return fail(w, r)
					}
					return false
				}
				d := open(t, f, Config{ReadAhead: -1, Timeout: 10 * time.Second, Block: 4096})
				p := make([]byte, 1000)
				failing.Store(4)
				if _, err := d.ReadAt(p, 0); err != nil || !bytes.Equal(p, f.content[:1000]) {
					t.Errorf("after 4 failures: %v", err)
				}
				failing.Store(5)
				if _, err := d.ReadAt(p, 100000); err == nil {
					t.Error("after 5 failures: no error")
				}
				failing.Store(0)
				if _, err := d.ReadAt(p, 100000); err != nil || !bytes.Equal(p, f.content[100000:][:1000]) {
					t.Errorf("when it is well again: %v", err)
				}
			})
		})
	}
}

// TestClose closes while reads wait.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{content: random(1<<20, 6), etag: `"1"`}
		d := open(t, f, Config{Parallel: 2, Block: 4096})
		f.before = func(w http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if _, err := d.ReadAt(make([]byte, 1), int64(i)*40000); !errors.Is(err, block.ErrClosed) {
					t.Error(err)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := d.ReadAtContext(ctx, make([]byte, 1), 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read that was given up: %v", err)
		}
		d.Close()
		wg.Wait()
	})
}

func TestOpenRefuses(t *testing.T) {
	header := func(name, value string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(name, value)
			w.WriteHeader(status)
		}
	}
	for _, c := range []struct {
		name string
		h    http.Handler
		want string
	}{
		{"no ranges", header("A", "b", 200), "range requests"},
		{"not found", header("A", "b", 404), "404"},
		{"another range", header("Content-Range", "bytes 5-5/10", 206), "bytes 5-5/10"},
		{"no length", header("Content-Range", "bytes 0-0/*", 206), "0-0/*"},
		{"no range", header("A", "b", 206), `""`},
	} {
		_, err := Open(t.Context(), "http://server/x", Config{Client: &http.Client{Transport: direct{c.h}}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, c := range []Config{{Block: 1000}, {Block: 1 << 30}, {Block: -1}} {
		if _, err := Open(t.Context(), "http://server/x", c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	d := open(t, header("Content-Range", "bytes */0", 416), Config{})
	if size, err := d.Size(); size != 0 || err != nil {
		t.Errorf("an empty file: %d, %v", size, err)
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/100", "bytes */0", "bytes -1-2/3", "bytes 0-9223372036854775807/9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lo, hi, size, err := contentRange(s)
		if err == nil && (lo < 0 || hi < lo || size <= hi) {
			t.Errorf("%q is %d to %d of %d", s, lo, hi, size)
		}
	})
}

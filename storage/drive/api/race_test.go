package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// TestRaces has two clients make each pair of calls at the same time, on one image. Each
// answer is one that the call may have, and what is there then is whole.
func TestRaces(t *testing.T) {
	data := bytes.Repeat([]byte("race"), 50000)
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) { c.Fetch.Private = true })
	far := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(data) }))
	defer far.Close()
	type op struct {
		name, call string
		body       []byte
		may        string // errors that it may have
	}
	const busy = "MsdIsBusyError MsdConnectedError "
	ops := []op{
		{"write", "POST /msd/write?image=r.img", data, busy + "MsdImageExistsError"},
		{"write that goes on", "POST /msd/write?offset=0&image=r.img", data, busy + "MsdImageExistsError"},
		{"write of half", "POST /msd/write?image=r.img&size=200000&remove_incomplete=1", data[:5000], busy + "MsdImageExistsError MsdSizeError"},
		{"read", "GET /msd/read?image=r.img", nil, busy + "MsdUnknownImageError MsdImageIncompleteError"},
		{"remove", "POST /msd/remove?image=r.img", nil, busy + "MsdUnknownImageError"},
		{"select", "POST /msd/set_params?image=r.img&rw=1", nil, busy + "MsdUnknownImageError"},
		{"connect", "POST /msd/set_connected?connected=1", nil, busy + "MsdImageNotSelected MsdUnknownImageError MsdImageIncompleteError"},
		{"disconnect", "POST /msd/set_connected?connected=0", nil, busy + "MsdDisconnectedError"},
		{"reset", "POST /msd/reset", nil, busy},
		{"state", "GET /msd", nil, ""},
		{"read packed", "GET /msd/read?image=r.img&compress=zstd", nil, busy + "MsdUnknownImageError MsdImageIncompleteError"},
		{"fetch", "POST /msd/write_remote?image=r.img&remove_incomplete=1&url=" + far.URL, nil, busy + "MsdImageExistsError"},
		{"fetch in the background", "POST /msd/write_remote?image=r.img&background=1&remove_incomplete=1&url=" + far.URL, nil, busy + "MsdImageExistsError"},
		{"checksum", "POST /msd/checksum?image=r.img", nil, busy + "MsdUnknownImageError MsdImageIncompleteError"},
		{"select with overlay", "POST /msd/set_params?image=r.img&rw=1&overlay=1", nil, busy + "MsdUnknownImageError"},
		{"discard", "POST /msd/overlay/discard?image=r.img", nil, busy},
		{"commit", "POST /msd/overlay/commit?image=r.img", nil, busy},
		{"eject by force", "POST /msd/set_connected?connected=0&force=1", nil, busy + "MsdDisconnectedError"},
		{"jobs", "GET /msd/jobs", nil, ""},
		{"metrics", "GET /metrics", nil, ""},
	}
	do := func(o op) error {
		method, path, _ := strings.Cut(o.call, " ")
		r, err := http.NewRequest(method, w.web.URL+path, bytes.NewReader(o.body))
		if err != nil {
			return err
		}
		answer, err := w.web.Client().Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			return err
		}
		if o.name == "read" && answer.StatusCode == 200 {
			if !bytes.Equal(text, data) {
				return fmt.Errorf("%d bytes were read, and they are others", len(text))
			}
			return nil
		}
		if answer.StatusCode == 200 {
			return nil
		}
		_, name, _ := strings.Cut(string(text), `"error": "`)
		name, _, _ = strings.Cut(name, `"`)
		if !slices.Contains(strings.Fields(o.may), name) {
			return fmt.Errorf("status %d, %s", answer.StatusCode, text)
		}
		return nil
	}
	for i, a := range ops {
		for _, b := range ops[i:] {
			for _, there := range []bool{true, false} {
				w.drive.Reset(t.Context())
				w.idle()
				if err := w.store.Remove("r.img"); err != nil && !errors.Is(err, imagestore.ErrUnknown) {
					t.Fatalf("%s beside %s: then a removal: %v", a.name, b.name, err)
				}
				if there {
					w.must("POST /msd/write?image=r.img", bytes.NewReader(data))
					w.must("POST /msd/set_params?image=r.img", nil)
				}
				first := make(chan error, 1)
				go func() { first <- do(a) }()
				second := do(b)
				if err := <-first; err != nil {
					t.Errorf("%s beside %s: %v", a.name, b.name, err)
				}
				if second != nil {
					t.Errorf("%s beside %s: %v", b.name, a.name, second)
				}
				file, err := os.ReadFile(filepath.Join(w.dir, "images", "r.img"))
				if err == nil && !bytes.Equal(file, data) || err != nil && !os.IsNotExist(err) {
					t.Errorf("%s beside %s: the image has %d bytes, %v", a.name, b.name, len(file), err)
				}
			}
		}
	}
}

// idle waits until no job is under way and no image is being read.
func (w *world) idle() {
	w.t.Helper()
	table := <-w.api.jobs.table
	all := slices.Clone(table.all)
	w.api.jobs.table <- table
	for _, b := range all {
		<-b.ended
	}
	w.quiet()
}

// outside are all files around a store, with their sizes and times.
func outside(t *testing.T, dir, but string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == but {
			return fs.SkipDir
		}
		info, err := d.Info()
		all[name] = fmt.Sprint(info.Size(), info.ModTime(), info.Mode())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestHostile has 1000 requests that mean ill: names that lead out, huge ones, lies about
// lengths, bodies that break off, bad ranges, nonsense. No file outside of the store is
// touched, nothing is left behind, and the API works on.
func TestHostile(t *testing.T) {
	parent := fastDir(t)
	dir := filepath.Join(parent, "store")
	w := newWorld(t, func(s *imagestore.Config, _ *drive.Config, c *Config) { s.Dir = dir; c.Idle = 200 * time.Millisecond })
	w.dir = dir
	if err := os.WriteFile(filepath.Join(parent, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../secret", filepath.Join(dir, "images", "link.img")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(parent, filepath.Join(dir, "images", "linked")); err != nil {
		t.Fatal(err)
	}
	if err := w.store.Refresh(); err != nil {
		t.Fatal(err)
	}
	w.must("POST /msd/write?image=good.img", strings.NewReader("good"))
	before := outside(t, parent, dir)
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	names := []string{
		"..", "../secret", "../../secret", "a/../../secret", "/etc/passwd", "//secret", "linked/secret", "linked/new.img", "link.img", "linked",
		"..%2fsecret", "%2e%2e/secret", "..\\secret", "a%00b", "%ff%fe", ".hidden", "a/.b", "lost%2bfound", "lost+found", strings.Repeat("x", 300), strings.Repeat("a/", 40),
		"good.img", "good.img/x", "uploads/x", "%E2%80%AE", "con", "a%0ab", "-rf", "*", "~", "$(id)", "good.img%20", "new%d.img",
		"GOOD.IMG", "good.img.", "good.img%2e", "..%2e", "%EF%BC%8E%EF%BC%8E/secret", "%E2%80%A6", "a%CC%88.img", "%C3%A4.img", "a%E2%80%8Db", "%C0%AE%C0%AE/secret", "good.img%00.iso", "C:secret", "aux.img", "%7f", "%EF%BB%BFx", "mounted/drive/drive.json", "../mounted/x", "../metadata/x",
	}
	lengths := []string{"", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length: 99999\r\n", "Content-Length: -1\r\n", "Content-Length: 9223372036854775807\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: x\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: x\r\n", "Expect: 100-continue\r\nContent-Length: 5\r\n"}
	calls := []string{"POST /msd/write?image=%s", "POST /msd/write?image=%s&offset=3", "POST /msd/write?prefix=%s&image=x", "POST /msd/write?image=%s&size=1000000000000000", "POST /msd/write?image=%s&compressed=xz", "POST /msd/write?image=%s&compressed=auto&remove_incomplete=1",
		"GET /msd/read?image=%s", "POST /msd/remove?image=%s", "POST /msd/set_params?image=%s", "POST /msd/write_remote?url=http://127.0.0.1:1/%s", "POST /msd/checksum?image=%s", "GET /%s", "GET /api/msd/../../%s", "PUT /msd/write?image=%s", "POST /auth/login?%s", "GET /ws?drive=%s",
		"POST /msd/overlay/commit?image=%s", "POST /msd/overlay/discard?drive=%s&image=good.img", "POST /msd/write_remote?url=http://127.0.0.1:1/x&prefix=%s", "POST /msd/write_remote?url=%s", "POST /msd/set_params?image=x://%s", "POST /msd/jobs/cancel?job=%s", "POST /msd/write?image=%s&size=5&compressed=zst", "GET /msd/read?image=%s&compress=zstd"}
	ranges := []string{"", "Range: bytes=0-\r\n", "Range: bytes=9-1\r\n", "Range: bytes=-99999999999999999999\r\n", "Range: bytes=" + strings.Repeat("0-0,", 1000) + "\r\n", "Upgrade: websocket\r\nConnection: upgrade\r\n", "Cookie: auth_token=" + strings.Repeat("z", 5000) + "\r\n"}
	bodies := []string{"", "hello", "\xfd7zXZ\x00" + strings.Repeat("\xff", 100), "\x28\xb5\x2f\xfd\xff\xff\xff\xff", "\x1f\x8b\x08", "zz\r\n", "ffffffffffffffff\r\nx", "7fffffff\r\nhello", "5;" + strings.Repeat("x", 5000) + "\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"}
	places := make(chan struct{}, 16)
	for range 1000 {
		text := strings.Replace(pick(calls), "%s", pick(names), 1) + " HTTP/1.1\r\nHost: x\r\n" + pick(lengths) + pick(ranges) + "\r\n" + pick(bodies)
		cut := len(text)
		if r.IntN(4) == 0 {
			cut = r.IntN(len(text))
		}
		places <- struct{}{}
		go func() {
			defer func() { <-places }()
			conn, err := net.Dial("tcp", w.web.Listener.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			io.WriteString(conn, text[:cut])
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
		}()
	}
	for range cap(places) {
		places <- struct{}{}
	}
	if after := outside(t, parent, dir); !maps.Equal(before, after) {
		t.Errorf("files outside of the store were %v and are %v", before, after)
	}
	for _, name := range []string{"link.img", "linked/secret"} {
		w.refused("GET /msd/read?image="+name, nil, 400, "MsdUnknownImageError")
	}
	w.must("POST /msd/reset", nil)
	w.must("POST /msd/write?image=after.img", strings.NewReader("works"))
	state, _ := w.store.State()
	for name, u := range state.Uploads {
		if u.Active {
			t.Errorf("the upload of %s still goes on", name)
		}
	}
	for name, i := range state.Images {
		file, err := os.ReadFile(filepath.Join(dir, "images", name))
		if i.Complete && (err != nil || int64(len(file)) != i.Size) {
			t.Errorf("%s is %+v, and the file has %d bytes, %v", name, i, len(file), err)
		}
	}
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// A shelf is a backend for tests: what is in the drive lies on it. It may be told what to
// answer.
type shelf struct {
	turn   chan struct{} // held by who is at work
	medium *drive.Medium
	insert error         // of Insert
	locked bool          // Eject without force fails
	hold   chan struct{} // if not nil, Insert waits for it
}

func newShelf() *shelf { return &shelf{turn: make(chan struct{}, 1)} }

func (b *shelf) at(f func()) {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	f()
}

func (b *shelf) Insert(ctx context.Context, m drive.Medium) (err error) {
	var hold chan struct{}
	b.at(func() { hold = b.hold })
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.at(func() {
		if err = b.insert; err == nil {
			b.medium = &m
		}
	})
	return err
}

func (b *shelf) Eject(_ context.Context, force bool) (err error) {
	b.at(func() {
		if b.locked && !force {
			err = drive.ErrLocked
			return
		}
		b.medium = nil
	})
	return err
}

func (b *shelf) Close() error { return nil }

// A world is an API with a store and a drive.
type world struct {
	t       *testing.T
	dir     string
	store   *imagestore.Store
	drive   *drive.Drive
	backend *shelf
	api     *Server
	web     *httptest.Server
}

func newWorld(t *testing.T, change ...func(*imagestore.Config, *drive.Config, *Config)) *world {
	t.Helper()
	w := &world{t: t, dir: fastDir(t), backend: newShelf()}
	sc, dc, c := imagestore.Config{Dir: w.dir}, drive.Config{Backend: w.backend}, Config{}
	for _, f := range change {
		f(&sc, &dc, &c)
	}
	var err error
	if w.store, err = imagestore.Open(sc); err != nil {
		t.Fatal(err)
	}
	dc.Store = w.store
	if w.drive, err = drive.New(dc); err != nil {
		t.Fatal(err)
	}
	c.Store, c.Drives = w.store, append([]*drive.Drive{w.drive}, c.Drives...)
	if w.api, err = New(c); err != nil {
		t.Fatal(err)
	}
	w.web = httptest.NewServer(w.api)
	t.Cleanup(func() {
		w.api.Close()
		w.web.Close()
		w.drive.Close()
		w.store.Close()
	})
	return w
}

// fastDir is a directory in memory where there is such a file system: what is durable is
// the matter of imagestore's tests.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "drive-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// ask makes a call, "POST /msd/remove?image=x", and returns its status, and its result or
// the name of its error.
func (w *world) ask(call string, body io.Reader) (int, map[string]any, string) {
	w.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	r, err := http.NewRequest(method, w.web.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := w.web.Client().Do(r)
	if err != nil {
		w.t.Fatalf("%s: %v", call, err)
	}
	defer answer.Body.Close()
	var e struct {
		OK     bool           `json:"ok"`
		Result map[string]any `json:"result"`
	}
	text, _ := io.ReadAll(answer.Body)
	if err := json.Unmarshal(text, &e); err != nil {
		w.t.Fatalf("%s: %v in %q", call, err, text)
	}
	if e.OK != (answer.StatusCode == 200) {
		w.t.Fatalf("%s: status %d, ok %v", call, answer.StatusCode, e.OK)
	}
	name, _ := e.Result["error"].(string)
	return answer.StatusCode, e.Result, name
}

// must is ask of a call that succeeds.
func (w *world) must(call string, body io.Reader) map[string]any {
	w.t.Helper()
	status, result, name := w.ask(call, body)
	if status != 200 {
		w.t.Fatalf("%s: status %d, %s: %v", call, status, name, result["error_msg"])
	}
	return result
}

// refused is ask of a call that fails in that way.
func (w *world) refused(call string, body io.Reader, status int, name string) string {
	w.t.Helper()
	got, result, error := w.ask(call, body)
	if got != status || error != name {
		w.t.Errorf("%s: status %d, %s (%v), want %d, %s", call, got, error, result["error_msg"], status, name)
	}
	text, _ := result["error_msg"].(string)
	return text
}

func (w *world) get(path string) []byte {
	w.t.Helper()
	answer, err := w.web.Client().Get(w.web.URL + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 2 {
		w.t.Fatalf("%s: status %d, %v, %s", path, answer.StatusCode, err, text)
	}
	w.quiet()
	return text
}

// quiet waits until no image is being read: a client has the last byte of one before the
// server has closed it.
func (w *world) quiet() {
	for {
		state, changed := w.store.State()
		if len(state.Downloads) == 0 {
			return
		}
		<-changed
	}
}

// at looks up a path of keys in a result.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

// TestDay is what a client of PiKVM's does with a drive, one call after the other.
func TestDay(t *testing.T) {
	w := newWorld(t)
	data := bytes.Repeat([]byte("some data of an image. "), 10000)
	state := w.must("GET /api/msd", nil)
	if state["enabled"] != true || state["online"] != true || state["busy"] != false || at(state, "drive", "image") != nil || at(state, "storage", "parts", "", "size") == 0.0 {
		t.Errorf("at first the state is %v", state)
	}
	written := w.must("POST /api/msd/write?prefix=&image=disks%2Fa.img&remove_incomplete=1", bytes.NewReader(data))
	if at(written, "image", "name") != "disks/a.img" || at(written, "image", "size") != float64(len(data)) || at(written, "image", "written") != float64(len(data)) {
		t.Errorf("written: %v", written)
	}
	if got := w.get("/api/msd/read?image=disks/a.img"); !bytes.Equal(got, data) {
		t.Errorf("%d bytes come back, and they are others", len(got))
	}
	w.must("POST /msd/set_params?image=disks/a.img", nil)
	w.must("POST /msd/set_params?cdrom=0&rw=1", nil)
	w.must("POST /msd/set_connected?connected=1", nil)
	state = w.must("GET /msd", nil)
	if at(state, "drive", "connected") != true || at(state, "drive", "rw") != true || at(state, "drive", "image", "name") != "disks/a.img" || at(state, "drive", "image", "in_storage") != true {
		t.Errorf("the drive is %v", state["drive"])
	}
	w.backend.at(func() {
		if m := w.backend.medium; m == nil || m.ReadOnly || m.CDROM || m.Path == "" {
			t.Errorf("the backend has %+v", m)
		} else if _, err := m.Disk.WriteAt([]byte("S"), 0); err != nil {
			t.Error(err)
		}
	})
	w.refused("POST /msd/remove?image=disks/a.img", nil, 400, "MsdConnectedError")
	w.must("POST /msd/set_connected?connected=0", nil)
	if got := w.get("/msd/read?image=disks/a.img"); got[0] != 'S' {
		t.Error("what the machine wrote is not in the image")
	}
	w.must("POST /msd/remove?image=disks/a.img", nil)
	state = w.must("GET /msd", nil)
	if at(state, "drive", "image") != nil || len(at(state, "storage", "images").(map[string]any)) != 0 {
		t.Errorf("at last the state is %v", state)
	}
	w.must("POST /msd/reset", nil)
}

// TestEvents follows the WebSocket: the whole state first, then what changes.
func TestEvents(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(w.web.URL, "http", "ws", 1)+"/api/ws?stream=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	state := map[string]any{}
	next := func() string {
		t.Helper()
		_, text, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Type  string         `json:"event_type"`
			Event map[string]any `json:"event"`
		}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		if e.Type == "msd" {
			for k, v := range e.Event {
				sub, ok := v.(map[string]any)
				if old, had := state[k].(map[string]any); ok && had && k == "storage" {
					for k, v := range sub {
						old[k] = v
					}
					continue
				}
				state[k] = v
			}
		}
		return e.Type
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for !ok() {
			next()
		}
	}
	if first := next(); first != "loop" {
		t.Errorf("the first event is %s", first)
	}
	if second := next(); second != "msd" || state["online"] != true || at(state, "storage", "images") == nil {
		t.Errorf("the second event is %s: %v", second, state)
	}
	w.must("POST /msd/write?image=a.iso", strings.NewReader("abc"))
	until("the image", func() bool { return at(state, "storage", "images", "a.iso", "complete") == true })
	w.must("POST /msd/set_params?image=a.iso&cdrom=1", nil)
	until("the selection", func() bool { return at(state, "drive", "image", "name") == "a.iso" })
	w.must("POST /msd/set_connected?connected=1", nil)
	until("the medium", func() bool { return at(state, "drive", "connected") == true })
	w.backend.at(func() {
		w.backend.medium.Disk.ReadAt(make([]byte, 2), 0)
		w.backend.medium.Ejected()
	})
	until("that it is out", func() bool { return at(state, "drive", "connected") == false })
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"event_type":"ping","event":{}}`)); err != nil {
		t.Fatal(err)
	}
	for next() != "pong" {
	}
}

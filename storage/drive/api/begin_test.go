package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// TestBegin begins uploads without their bytes, and goes on with them.
func TestBegin(t *testing.T) {
	w := newWorld(t, func(c *imagestore.Config, _ *drive.Config, _ *Config) { c.Quota = 1000 })
	written := func(result map[string]any) any { return at(result, "image", "written") }
	if n := written(w.must("POST /msd/write?image=a.img&begin=1&size=6", nil)); n != 0.0 {
		t.Errorf("%v bytes have come of what is begun", n)
	}
	if state := w.must("GET /msd", nil); at(state, "storage", "uploads", "a.img", "size") != 6.0 || at(state, "storage", "uploads", "a.img", "active") != false {
		t.Errorf("begun: %v", at(state, "storage", "uploads"))
	}
	w.refused("POST /msd/write?image=a.img&offset=0&size=6", strings.NewReader("abc"), 400, "MsdSizeError")
	if n := written(w.must("POST /msd/write?image=a.img&begin=1&size=6&remove_incomplete=1", nil)); n != 3.0 {
		t.Errorf("%v bytes have come of 3", n)
	}
	w.must("POST /msd/write?image=a.img&offset=3&size=6", strings.NewReader("def"))
	if got := w.get("/msd/read?image=a.img"); string(got) != "abcdef" {
		t.Errorf("the image is %q", got)
	}
	w.must("POST /msd/write?image=empty.img&begin=1&size=0", nil)
	w.must("POST /msd/write?image=empty.img&offset=0&size=0", nil)

	w.refused("POST /msd/write?image=a.img&begin=1&size=6", nil, 400, "MsdImageExistsError")
	w.refused("POST /msd/write?image=b.img&begin=1", nil, 400, "ValidatorError")
	w.refused("POST /msd/write?image=b.img&begin=1&size=1001", nil, 507, "MsdQuotaError")
	w.must("POST /msd/write?image=b.img&begin=1&size=10", nil)
	w.refused("POST /msd/write?image=b.img&begin=1&size=11", nil, 400, "MsdSizeError")
}

// TestIdentity asks who one is.
func TestIdentity(t *testing.T) {
	open := newWorld(t)
	if who := open.must("GET /auth/check", nil); who["user"] != "" || who["role"] != "upload" {
		t.Errorf("without authentication: %v", who)
	}
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) { c.Auth = accounts(t) })
	for role := View; role <= Upload; role++ {
		r, _ := http.NewRequest("GET", w.web.URL+"/api/auth/check", nil)
		r.SetBasicAuth(role.String(), role.String())
		answer, err := w.web.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var e struct{ Result struct{ User, Role string } }
		json.NewDecoder(answer.Body).Decode(&e)
		answer.Body.Close()
		if e.Result.User != role.String() || e.Result.Role != role.String() {
			t.Errorf("as %v: %+v", role, e.Result)
		}
	}
}

// TestJobEvents follows a fetch in the background by the WebSocket to its end, and another
// to its error.
func TestJobEvents(t *testing.T) {
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) { c.Fetch.Private = true })
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "some bytes") }))
	defer far.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(w.web.URL, "http", "ws", 1)+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	ended := func(number any) jobJSON {
		t.Helper()
		for {
			_, text, err := conn.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var e struct {
				Type  string `json:"event_type"`
				Event struct{ Jobs map[int64]jobJSON }
			}
			if strings.Contains(string(text), `"msd_jobs"`) && json.Unmarshal(text, &e) == nil {
				if j, ok := e.Event.Jobs[int64(number.(float64))]; ok && !j.Active {
					return j
				}
			}
		}
	}
	job := w.must("POST /msd/write_remote?background=1&image=a.img&url="+far.URL, nil)["job"]
	if j := ended(job); j.Kind != "fetch" || j.Image != "a.img" || j.Done != 10 || j.Size != 10 || j.Error != nil {
		t.Errorf("the fetch is %+v", j)
	}
	job = w.must("POST /msd/write_remote?background=1&image=b.img&sha256="+strings.Repeat("0", 64)+"&url="+far.URL, nil)["job"]
	if j := ended(job); j.Error["error"] != "MsdChecksumError" {
		t.Errorf("the fetch of something else is %+v", j)
	}
}

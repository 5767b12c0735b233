package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// A family is the samples of one name, as Prometheus reads them: values by labels.
type family struct {
	kind, help string
	samples    map[string]float64
}

// parseMetrics reads Prometheus' text format, version 0.0.4, as strictly as its own parser:
// each name has one HELP and one TYPE, before its samples, which stand together; no sample
// is there twice; labels are escaped; values are numbers; the last line ends.
func parseMetrics(text string) (map[string]*family, error) {
	all := map[string]*family{}
	var now *family
	name := ""
	if !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("the last line does not end")
	}
	identifier := regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			n, help, ok := strings.Cut(rest, " ")
			if !ok || identifier.FindString(n) != n || all[n] != nil {
				return nil, fmt.Errorf("%q: no help, or again", line)
			}
			now, name = &family{help: help, samples: map[string]float64{}}, n
			all[n] = now
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			n, kind, _ := strings.Cut(rest, " ")
			if n != name || now.kind != "" || len(now.samples) > 0 || kind != "gauge" && kind != "counter" || (kind == "counter") != strings.HasSuffix(n, "_total") {
				return nil, fmt.Errorf("%q: not of the help before it, or no type", line)
			}
			now.kind = kind
			continue
		}
		n := identifier.FindString(line)
		if now == nil || n != name || now.kind == "" {
			return nil, fmt.Errorf("%q: a sample without help and type", line)
		}
		labels, value, err := parseSample(line[len(n):])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		if _, ok := now.samples[labels]; ok {
			return nil, fmt.Errorf("%q: again", line)
		}
		now.samples[labels] = value
	}
	for n, f := range all {
		if f.kind == "" || f.help == "" {
			return nil, fmt.Errorf("%s has no type or no help", n)
		}
	}
	return all, lines.Err()
}

// parseSample takes `{a="b",c="d"} 5` apart: into "a=b,c=d", and 5.
func parseSample(s string) (labels string, value float64, err error) {
	var pairs []string
	if rest, ok := strings.CutPrefix(s, "{"); ok {
		pair := regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"`)
		for s = rest; ; s = s[1:] {
			m := pair.FindStringSubmatch(s)
			if m == nil {
				return "", 0, fmt.Errorf("no label at %q", s)
			}
			pairs = append(pairs, m[1]+"="+strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(m[2]))
			if s = s[len(m[0]):]; !strings.HasPrefix(s, ",") {
				break
			}
		}
		if s, ok = strings.CutPrefix(s, "}"); !ok {
			return "", 0, fmt.Errorf("the labels do not end")
		}
	}
	s, ok := strings.CutPrefix(s, " ")
	if value, err = strconv.ParseFloat(s, 64); err == nil && (!ok || math.IsNaN(value)) {
		err = fmt.Errorf("no value")
	}
	return strings.Join(pairs, ","), value, err
}

// TestParseMetrics has what is not in the format refused by the tests' own parser.
func TestParseMetrics(t *testing.T) {
	const head = "# HELP a_total x\n# TYPE a_total counter\n"
	if m, err := parseMetrics(head + "a_total" + label("p", "a\"\\\n,}b", "q", "") + " 5\n"); err != nil || m["a_total"].samples["p=a\"\\\n,}b,q="] != 5 {
		t.Errorf("labels that are escaped: %v, %v", m, err)
	}
	for _, bad := range []string{"", "a 5\n", head + "a_total 5", head + "a_total 5\na_total 5\n", head + "b 5\n", head + "a_total{p=\"x} 5\n", head + "a_total{p=\"\\x\"} 5\n", head + "a_total x\n", head + "a_total5\n", head + head, "# HELP a x\n# TYPE a counter\n"} {
		if m, err := parseMetrics(bad); err == nil {
			t.Errorf("%q is read as %v", bad, m)
		}
	}
}

// TestMetrics reads the metrics, and sees in them what has happened.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	read := func() map[string]*family {
		t.Helper()
		m, err := parseMetrics(string(w.get("/metrics")))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	read()
	w.must("POST /msd/write?image=a.img", strings.NewReader("abc"))
	w.refused("POST /msd/write?image=a.img", strings.NewReader("abc"), 400, "MsdImageExistsError")
	w.refused("POST /msd/write?image=b.img&size=9", strings.NewReader("abc"), 400, "MsdSizeError")
	w.must("POST /msd/set_params?image=a.img", nil)
	w.must("POST /msd/set_connected?connected=1", nil)
	w.backend.at(func() { w.backend.medium.Disk.ReadAt(make([]byte, 3), 0) })
	m := read()
	for sample, want := range map[string]float64{
		"store_online": 1, "images": 2, "images_bytes": 12, "uploads_active": 0, "uploads_waiting": 1, "calls_active": 1,
		"connected drive=drive": 1, "online drive=drive": 1, "reads_total drive=drive": 1, "read_bytes_total drive=drive": 3, "writes_total drive=drive": 0,
		"calls_total call=/msd/write,method=POST,ok=true": 1, "calls_total call=/msd/write,method=POST,ok=false": 2, "calls_total call=/metrics,method=GET,ok=true": 1,
	} {
		name, labels, _ := strings.Cut(sample, " ")
		f := m["gonet_drive_"+name]
		if f == nil {
			t.Errorf("there is no %s", name)
		} else if got, ok := f.samples[labels]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", sample, got, ok, want)
		}
	}
	if size, free := m["gonet_drive_part_size_bytes"].samples["part="], m["gonet_drive_part_free_bytes"].samples["part="]; size <= 0 || free <= 0 || free > size {
		t.Errorf("of %v bytes %v are free", size, free)
	}
	if n := len(m["gonet_drive_calls_total"].samples); n != 2*len(calls()) {
		t.Errorf("%d counts of %d calls", n, len(calls()))
	}
}

// TestLog has the log say who did what, from where, to which image, and what came of it,
// and no password.
func TestLog(t *testing.T) {
	var text bytes.Buffer // slog writes one record at a time
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) {
		c.Auth = accounts(t)
		c.Log = slog.New(slog.NewJSONHandler(&text, nil))
	})
	const as = "Authorization: Bearer token of "
	for _, c := range []struct {
		call    string
		headers []string
	}{
		{"POST /msd/write?image=a.img", []string{as + "upload"}},
		{"POST /msd/set_params?image=a.img&rw=1", []string{"X-KVMD-User: operate", "X-KVMD-Passwd: operate"}},
		{"POST /msd/remove?image=a.img", []string{as + "view"}},
		{"POST /msd/remove?image=a.img", nil},
		{"POST /msd/remove?image=../x", []string{as + "upload"}},
		{"POST /msd/write_remote?url=http://joe:hidden@127.0.0.1:1/x", []string{as + "upload"}},
		{"POST /msd/set_params?image=https://joe:hidden@a.example/x&passwd=hidden", []string{as + "upload"}},
		{"GET /msd", []string{as + "view"}},
		{"GET /msd", []string{"User: view:hidden"}},
	} {
		w.try(c.call, nil, c.headers...)
	}
	w.web.Close() // all calls have ended, and are logged
	type record struct {
		User, From, Call, Image, URL, Err string
		Status                            int
	}
	var got []record
	for line := range strings.Lines(text.String()) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	want := []record{ // calls that only look are for Debug
		{"t-upload", "", "/msd/write", "a.img", "", "", 200}, {"operate", "", "/msd/set_params", "a.img", "", "", 200}, {"t-view", "", "/msd/remove", "", "", "", 403},
		{"", "", "/msd/remove", "", "", "", 401}, {"t-upload", "", "/msd/remove", "", "", "", 400},
		{"t-upload", "", "/msd/write_remote", "", "http://joe:xxxxx@127.0.0.1:1/x", "", 400}, {"t-upload", "", "/msd/set_params", "https://joe:xxxxx@a.example/x", "", "", 400},
	}
	if len(got) != len(want) {
		t.Fatalf("the log has %d records of %d:\n%s", len(got), len(want), text.String())
	}
	for i, r := range got {
		if !strings.HasPrefix(r.From, "127.0.0.1:") || (r.Err == "") != (r.Status == 200) {
			t.Errorf("record %d is %+v", i, r)
		}
		if r.From, r.Err = "", ""; r != want[i] {
			t.Errorf("record %d is %+v, want %+v", i, r, want[i])
		}
	}
	if strings.Contains(text.String(), "hidden") {
		t.Errorf("a password is in the log:\n%s", text.String())
	}
}

// TestSocketFlood has a client send more than it should on a WebSocket, and others open more
// of them than there may be: the API answers others meanwhile, and has room again then.
func TestSocketFlood(t *testing.T) {
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) { c.MaxCalls = 8 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	address := strings.Replace(w.web.URL, "http", "ws", 1) + "/ws"
	dial := func() *websocket.Conn {
		t.Helper()
		c, _, err := websocket.Dial(ctx, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.CloseNow() })
		return c
	}
	ended := func(c *websocket.Conn) bool {
		for {
			if _, _, err := c.Read(ctx); err != nil {
				return ctx.Err() == nil
			}
		}
	}
	flood := dial()
	for range 3000 { // as fast as it goes: answers are few, and none is waited for
		if err := flood.Write(ctx, websocket.MessageText, []byte(`{"event_type":"ping","event":{}}`)); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "nonsense", `{"event_type":`, `[]`, `{"event_type":5}`, `{"event_type":"other"}`, strings.Repeat("[", 4000)} {
		if err := flood.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	w.must("GET /msd", nil)
	large := dial()
	large.Write(ctx, websocket.MessageBinary, make([]byte, maxEvent+1))
	if !ended(large) {
		t.Error("a message that is too large does not end the connection")
	}
	flood.CloseNow()
	for len(w.api.places) > 0 { // the server notices by and by
		time.Sleep(time.Millisecond)
	}
	var all []*websocket.Conn
	for range 8 {
		all = append(all, dial())
	}
	w.refused("GET /msd", nil, 503, "UnavailableError")
	if c, answer, err := websocket.Dial(ctx, address, nil); err == nil || answer == nil || answer.StatusCode != 503 {
		t.Errorf("one more: %v, %v, %v", c, answer, err)
	}
	for _, c := range all {
		c.CloseNow()
	}
	for len(w.api.places) > 0 {
		time.Sleep(time.Millisecond)
	}
	w.must("GET /msd", nil)
}

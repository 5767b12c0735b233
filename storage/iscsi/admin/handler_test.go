package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestHandlerRefuses sends what is no call, and calls that web pages make.
func TestHandlerRefuses(t *testing.T) {
	n := newLab(t, func(context.Context) error { return errors.New("the file is broken") })
	h := Handler(n.manager)
	for name, c := range map[string]struct {
		method, path, body string
		host, origin       string
		status             int
		text               string
	}{
		"fine":          {"GET", "/targets", "", "", "", 200, "[]"},
		"an address":    {"GET", "/targets", "", "[::1]:8080", "", 200, "[]"},
		"no call":       {"GET", "/", "", "", "", 404, "no such call"},
		"wrong method":  {"PUT", "/targets", "{}", "", "", 404, "no such call"},
		"no JSON":       {"POST", "/targets", "{", "", "", 400, "not as it should be"},
		"empty":         {"POST", "/targets", "", "", "", 400, "not as it should be"},
		"unknown field": {"POST", "/targets", `{"nam":"x"}`, "", "", 400, "nam"},
		"two values":    {"POST", "/targets", `{"name":"x"}{}`, "", "", 400, "goes on"},
		"too long":      {"POST", "/targets", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, "", "", 413, "too large"},
		"no number":     {"PUT", "/targets/" + t1 + "/luns/x", `{"disk":"memory:1M"}`, "", "", 400, "number"},
		"no target":     {"DELETE", "/targets/" + t1 + "/luns/1", "", "", "", 404, "t1"},
		"reload":        {"POST", "/reload", "", "", "", 400, "broken"},
		"rebinding":     {"GET", "/targets", "", "evil.example", "", 403, "evil.example"},
		"cross origin":  {"POST", "/reload", "", "", "http://evil.example", 403, "another origin"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		if r.Host = "localhost"; c.host != "" {
			r.Host = c.host
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.text) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d, %s", name, w.Code, w.Body)
		}
	}
}

// TestStrangeAnswers calls servers that are none of ours.
func TestStrangeAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		text string
	}{
		"no JSON":  {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }, "invalid character"},
		"an error": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, "502"},
	} {
		s := httptest.NewServer(c.h)
		_, err := NewClient("tcp:" + s.Listener.Addr().String()).Targets(t.Context())
		s.Close()
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewClient(filepath.Join(t.TempDir(), "none")).Targets(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestListen listens at a socket, where one is left, where somebody listens, and where
// there is something else.
func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	l, err := Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if l.Addr().String() != path {
		t.Errorf("it is at %v", l.Addr())
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "already") {
		t.Error(err)
	}
	l.Close()
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("%v are left, %v", left, err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Error(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Error("a file was replaced")
	}
}

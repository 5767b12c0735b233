package page

import (
	"encoding/json"
	"io/fs"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/drive/api"
)

// TestHandler asks for each file: its type, its ETag, and the headers that keep others out.
func TestHandler(t *testing.T) {
	h := Handler()
	ask := func(method, path, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("If-None-Match", tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; script-src 'self';") || strings.Contains(got, "unsafe") {
			t.Errorf("%s %s: the policy is %q", method, path, got)
		}
		return w
	}
	entries, err := fs.ReadDir(files, "files")
	if err != nil || len(entries) == 0 {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, _ := fs.ReadFile(files, "files/"+e.Name())
		w := ask("GET", "/"+e.Name(), "")
		if w.Code != 200 || w.Body.String() != string(text) || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: status %d, %v, %d bytes of %d", e.Name(), w.Code, w.Header(), w.Body.Len(), len(text))
		}
		if w := ask("GET", "/"+e.Name(), w.Header().Get("ETag")); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%s, which the browser has: status %d, %d bytes", e.Name(), w.Code, w.Body.Len())
		}
		if w := ask("HEAD", "/"+e.Name(), ""); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s: status %d, %d bytes", e.Name(), w.Code, w.Body.Len())
		}
	}
	if w := ask("GET", "/", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "<title>") {
		t.Errorf("/: status %d", w.Code)
	}
	for _, path := range []string{"/files/main.js", "/../page.go", "/main.js/", "/none"} {
		if w := ask("GET", path, ""); w.Code != 404 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	if w := ask("POST", "/", ""); w.Code != 405 {
		t.Errorf("POST: status %d", w.Code)
	}
}

// TestSources reads the files for what must not be in them: ways to have data be HTML or
// script, styles and scripts in the HTML, and anything from elsewhere.
func TestSources(t *testing.T) {
	bad := map[string]*regexp.Regexp{
		"has text parsed":         regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc`),
		"evaluates text":          regexp.MustCompile(`\beval\(|new Function|javascript:`),
		"has a style or a script": regexp.MustCompile(`<style|<script>|\sstyle=|\son[a-z]+="`),
		"goes elsewhere":          regexp.MustCompile(`(?i)(src|href|url|import|from)\s*[=(]?\s*["']?(https?:)?//`),
	}
	entries, _ := fs.ReadDir(files, "files")
	for _, e := range entries {
		text, _ := fs.ReadFile(files, "files/"+e.Name())
		if n := strings.Count(string(text), "\n"); n > 250 {
			t.Errorf("%s has %d lines: split it", e.Name(), n)
		}
		for what, pattern := range bad {
			if found := pattern.Find(text); found != nil {
				t.Errorf("%s %s: %q", e.Name(), what, found)
			}
		}
	}
}

// TestErrors sees that each error of the API's says something at the page, but for those
// whose text names a field or a server, and that there are no others.
func TestErrors(t *testing.T) {
	var document struct {
		Components struct {
			Schemas struct {
				Error struct {
					Properties struct {
						Result struct {
							Properties struct {
								Error struct{ Enum []string }
							}
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(api.OpenAPI(), &document); err != nil {
		t.Fatal(err)
	}
	text, _ := fs.ReadFile(files, "files/errors.js")
	said := map[string]bool{"ValidatorError": true, "MsdRemoteError": true}
	for _, m := range regexp.MustCompile(`(?m)^  (\w+): "`).FindAllSubmatch(text, -1) {
		said[string(m[1])] = true
	}
	names := document.Components.Schemas.Error.Properties.Result.Properties.Error.Enum
	for _, name := range names {
		if !said[name] {
			t.Errorf("errors.js has no text for %s", name)
		}
		delete(said, name)
	}
	if len(names) == 0 || len(said) > 0 {
		t.Errorf("of %d names, the API has none of %v", len(names), said)
	}
}

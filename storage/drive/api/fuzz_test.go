package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// FuzzRequest has any query and body come to any call: the answer is an envelope, and not
// an internal error.
func FuzzRequest(f *testing.F) {
	f.Add(uint8(5), "image=a.img&offset=1", "body", "application/x-www-form-urlencoded")
	f.Add(uint8(0), "", "user=admin&passwd=x", "application/x-www-form-urlencoded")
	f.Add(uint8(3), "image=http://x/&rw=1", "", "multipart/form-data; boundary=x")
	f.Add(uint8(7), "image=a&compressed=auto", "\xfd7zXZ\x00", "")
	store, err := imagestore.Open(imagestore.Config{Dir: f.TempDir(), Quota: 1 << 20, MaxImages: 32})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { store.Close() })
	d, err := drive.New(drive.Config{Store: store, Backend: newShelf()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { d.Close() })
	s, err := New(Config{Store: store, Drives: []*drive.Drive{d}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	all := calls()
	f.Fuzz(func(t *testing.T, n uint8, query, body, kind string) {
		c := all[int(n)%len(all)]
		if c.path == "/ws" || c.path == "/msd/write_remote" {
			return
		}
		r := httptest.NewRequest(c.method, "/api"+c.path, strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s?%q with %q: %s", c.method, c.path, query, body, w.Body)
		}
	})
}

package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// TestErrors has each error that has a name happen by a call.
func TestErrors(t *testing.T) {
	seen := map[string]bool{}
	w := newWorld(t, func(s *imagestore.Config, d *drive.Config, c *Config) {
		s.Static = []string{"golden/*"}
		s.Quota, s.MaxImages = 1<<20, 8
		c.MaxCalls = 8
	})
	refused := func(call string, body string, status int, name string) string {
		t.Helper()
		seen[name] = true
		if strings.Contains(call, "write?") {
			return w.refused(call, strings.NewReader(body), status, name)
		}
		return w.refused(call, nil, status, name)
	}
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(w.dir, "images", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("golden/g.img", "golden")
	put("half.img", "half")
	put(".__half.img.incomplete", "")
	if err := w.store.Refresh(); err != nil {
		t.Fatal(err)
	}

	refused("POST /msd/set_connected?connected=1", "", 400, "MsdImageNotSelected")
	refused("POST /msd/set_connected?connected=0", "", 400, "MsdDisconnectedError")
	refused("POST /msd/set_params?image=none.img", "", 400, "MsdUnknownImageError")
	refused("POST /msd/remove?image=none.img", "", 400, "MsdUnknownImageError")
	refused("GET /msd/read?image=none.img", "", 400, "MsdUnknownImageError")
	refused("POST /msd/remove?image=golden/g.img", "", 400, "MsdImageStaticError")
	refused("POST /msd/write?image=golden/h.img", "x", 400, "MsdImageStaticError")
	refused("POST /msd/set_params?image=https://a.example/x.iso", "", 400, "MsdRemoteDisabledError")
	w.must("POST /msd/write?image=a.img", strings.NewReader("abc"))
	refused("POST /msd/write?image=a.img", "abc", 400, "MsdImageExistsError")
	refused("POST /msd/write?image=b.img&sha256="+strings.Repeat("0", 64), "abc", 400, "MsdChecksumError")
	if state := w.must("GET /msd", nil); at(state, "storage", "images", "b.img") != nil {
		t.Error("an image with another checksum is there")
	}
	refused("POST /msd/write?image=b.img&offset=2", "abc", 400, "MsdOffsetError")
	refused("POST /msd/write?image=b.img&size=4", "abc", 400, "MsdSizeError")
	refused("GET /msd/read?image=b.img", "", 400, "MsdImageIncompleteError")
	refused("POST /msd/write?image=b.img&offset=1&size=9", "abc", 400, "MsdSizeError")
	w.must("POST /msd/write?image=b.img&offset=3&size=4", strings.NewReader("d"))
	if got := w.get("/msd/read?image=b.img"); string(got) != "abcd" {
		t.Errorf("after going on it is %q", got)
	}
	refused("POST /msd/write?image=big.img&size=2000000", "", 507, "MsdQuotaError")
	w.must("POST /msd/set_params?image=half.img", nil)
	refused("POST /msd/set_connected?connected=1", "", 400, "MsdImageIncompleteError")

	w.must("POST /msd/set_params?image=a.img&rw=1", nil)
	w.backend.at(func() { w.backend.insert = drive.ErrOffline })
	refused("POST /msd/set_connected?connected=1", "", 400, "MsdOfflineError")
	w.backend.at(func() { w.backend.insert = drive.ErrPermission })
	refused("POST /msd/set_connected?connected=1", "", 400, "MsdPermissionsError")
	w.backend.at(func() { w.backend.insert, w.backend.hold = nil, make(chan struct{}) })
	connected := make(chan error, 1)
	go func() { connected <- w.drive.Connect(t.Context()) }()
	for {
		if state, changed := w.drive.State(); state.Busy {
			break
		} else {
			<-changed
		}
	}
	for _, call := range []string{"set_connected?connected=1", "set_connected?connected=0", "set_params?cdrom=1", "reset"} {
		refused("POST /msd/"+call, "", 409, "MsdIsBusyError")
	}
	w.backend.at(func() { close(w.backend.hold) })
	if err := <-connected; err != nil {
		t.Fatal(err)
	}
	refused("POST /msd/set_connected?connected=1", "", 400, "MsdConnectedError")
	refused("POST /msd/set_params?cdrom=1", "", 400, "MsdConnectedError")
	refused("POST /msd/remove?image=a.img", "", 400, "MsdConnectedError")
	refused("GET /msd/read?image=a.img", "", 400, "MsdConnectedError")
	w.backend.at(func() { w.backend.locked = true })
	refused("POST /msd/set_connected?connected=0", "", 400, "MsdLockedError")
	w.must("POST /msd/set_connected?connected=0&force=1", nil)

	for i := range 8 {
		status, _, name := w.ask(fmt.Sprintf("POST /msd/write?image=many%d", i), strings.NewReader("x"))
		if status != 200 {
			seen[name] = true
		}
	}
	refused("POST /msd/write_remote?url=http://127.0.0.1:1/x", "", 400, "MsdRemoteError")
	refused("GET /nothing", "", 404, "NotFoundError")
	refused("GET /msd/remove?image=x", "", 405, "MethodNotAllowedError")
	w.api.jobs.close()
	refused("POST /msd/checksum?image=b.img", "", 503, "UnavailableError")
	w.store.Close()
	refused("POST /msd/remove?image=b.img", "", 503, "UnavailableError")

	errorsOfCauses(t, seen)
	for _, name := range errorNames() {
		if !seen[name] {
			t.Errorf("%s has not been seen", name)
		}
	}
}

// errorsOfCauses has errors happen that need something of the drive, of the file system or
// of whoever calls.
func errorsOfCauses(t *testing.T, seen map[string]bool) {
	t.Helper()
	auth := accounts(t)
	w := newWorld(t, func(s *imagestore.Config, d *drive.Config, c *Config) {
		s.MaxSize = 1 << 50
		d.Timeout = 50 * time.Millisecond
		c.MaxCalls = 1
	})
	refused := func(call string, status int, name string) {
		t.Helper()
		seen[name] = true
		w.refused(call, strings.NewReader(""), status, name)
	}
	refused("POST /msd/write?image=huge.img&size=1125899906842624", 507, "MsdNoSpaceError")
	refused("POST /msd/write?image=huge.img&size=1125899906842625", 413, "TooLargeError")
	if state := w.must("GET /msd", nil); len(at(state, "storage", "images").(map[string]any)) != 0 {
		t.Errorf("of uploads that were refused there is %v", at(state, "storage", "images"))
	}

	w.must("POST /msd/write?image=a.img", strings.NewReader("abc"))
	w.must("POST /msd/set_params?image=a.img&rw=1", nil)
	if err := os.Chmod(filepath.Join(w.dir, "images", "a.img"), 0o400); err != nil { // by hand, after it was selected
		t.Fatal(err)
	}
	refused("POST /msd/set_connected?connected=1", 400, "MsdImageReadOnlyError")
	w.must("POST /msd/set_params?rw=0", nil)
	w.backend.at(func() { w.backend.hold = make(chan struct{}) })
	refused("POST /msd/set_connected?connected=1", 504, "MsdTimeoutError")
	w.backend.at(func() { w.backend.hold, w.backend.insert = nil, errors.New("it is on fire") })
	refused("POST /msd/set_connected?connected=1", 500, "InternalError")

	w.api.places <- struct{}{} // a call that takes its time
	refused("GET /msd", 503, "UnavailableError")
	<-w.api.places

	guarded := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) { c.Auth = auth })
	guarded.refused("GET /msd", nil, 401, "UnauthorizedError")
	answer := func(call, body string, status int, name string, headers ...string) {
		t.Helper()
		seen[name] = true
		if got, text := guarded.text(call, strings.NewReader(body), headers...); got != status || !strings.Contains(text, `"error": "`+name+`"`) {
			t.Errorf("%s: status %d, %s, want %d, %s", call, got, text, status, name)
		}
	}
	const form = "Content-Type: application/x-www-form-urlencoded"
	answer("GET /msd", "", 401, "UnauthorizedError")
	answer("POST /msd/reset", "", 403, "ForbiddenError", "Authorization: Bearer token of view")
	answer("POST /auth/login", "user=view&passwd="+strings.Repeat("x", maxForm), 413, "TooLargeError", form)
	answer("POST /auth/login", "user=A&passwd=x", 400, "ValidatorError", form)
	for range maxFailures {
		answer("POST /auth/login", "user=view&passwd=wrong", 403, "ForbiddenError", form)
	}
	answer("POST /auth/login", "user=view&passwd=wrong", 429, "TooManyRequestsError", form)
}

// TestValidator has bad arguments refused, with their names.
func TestValidator(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ call, field string }{
		{"POST /msd/set_params?rw=maybe", "rw"}, {"POST /msd/set_params?cdrom=", "cdrom"}, {"POST /msd/set_params?image=../x", "image"},
		{"POST /msd/set_connected", "connected"}, {"POST /msd/set_connected?connected=2", "connected"},
		{"GET /msd/read", "image"}, {"GET /msd/read?image=x&compress=rar", "compress"}, {"GET /msd/read?image=.x", "image"},
		{"POST /msd/remove?image=a%00b", "image"}, {"POST /msd/remove?image=lost%2Bfound", "image"}, {"POST /msd/remove?image=%ff", "image"},
		{"POST /msd/remove?image=" + strings.Repeat("x", 256), "image"}, {"POST /msd/remove?image=" + strings.Repeat("x/", 20) + "y", "image"},
		{"POST /msd/remove?image=" + strings.Repeat("x", 5000), "image"}, {"POST /msd/remove?image=%20%2f%20", "image"},
		{"POST /msd/write?image=x&prefix=..", "image"}, {"POST /msd/write?image=x&remove_incomplete=x", "remove_incomplete"},
		{"POST /msd/write?image=x&offset=-1", "offset"}, {"POST /msd/write?image=x&sha256=abc", "sha256"}, {"POST /msd/write?image=x&size=1e3", "size"},
		{"POST /msd/write_remote", "url"}, {"POST /msd/write_remote?url=ftp://x/y", "url"}, {"POST /msd/write_remote?url=file:///etc/passwd", "url"},
		{"POST /msd/write_remote?url=http://x/y&timeout=0", "timeout"}, {"POST /msd/write_remote?url=http://x/y&timeout=NaN", "timeout"},
		{"GET /msd?drive=other", "drive"}, {"GET /msd?a=%zz", "query"}, {"GET /msd?" + strings.Repeat("a&", 100), "query"},
		{"POST /msd/jobs/cancel?job=9", "job"},
	} {
		if text := w.refused(c.call, nil, 400, "ValidatorError"); !strings.HasPrefix(text, c.field+": ") {
			t.Errorf("%.60s: the message is %q, which does not name %s", c.call, text, c.field)
		}
	}
	w.refused("POST /msd/write?image=x&compressed=zst", strings.NewReader("no zst"), 400, "MsdSizeError")
	r, _ := http.NewRequest("POST", w.web.URL+"/msd/write?image=y", struct{ *strings.Reader }{strings.NewReader("chunked")})
	r.ContentLength = -1
	answer, err := w.web.Client().Do(r)
	if err != nil || answer.StatusCode != 400 {
		t.Errorf("an upload of unknown length: %v, %v", answer, err)
	}
	answer.Body.Close()
}

// TestDownload reads ranges and compressed images.
func TestDownload(t *testing.T) {
	w := newWorld(t)
	data := bytes.Repeat([]byte("0123456789"), 50000)
	sum := sha256.Sum256(data)
	w.must("POST /msd/write?image=a%20b/ü.img&sha256="+hex.EncodeToString(sum[:]), bytes.NewReader(data))
	name := "a%20b/%C3%BC.img"
	r, _ := http.NewRequest("GET", w.web.URL+"/msd/read?image="+name, nil)
	r.Header.Set("Range", "bytes=7-16")
	answer, err := w.web.Client().Do(r)
	if err != nil || answer.StatusCode != 206 || answer.ContentLength != 10 || answer.Header.Get("Content-Disposition") != "attachment; filename*=UTF-8''a%20b%2F%C3%BC.img" {
		t.Errorf("a range: %+v, %v", answer, err)
	}
	answer.Body.Close()
	for mode, how := range map[string]string{"zstd": "zst", "lzma": "xz", "none": "auto"} {
		packed := w.get("/msd/read?compress=" + mode + "&image=" + name)
		if mode != "none" && len(packed) > len(data)/10 {
			t.Errorf("%s: %d bytes", mode, len(packed))
		}
		for i, how := range []string{how, "auto"} {
			copied := fmt.Sprint("copy-", mode, i)
			written := w.must("POST /msd/write?image="+copied+"&compressed="+how+"&sha256="+hex.EncodeToString(sum[:]), bytes.NewReader(packed))
			if at(written, "image", "size") != float64(len(data)) || !bytes.Equal(w.get("/msd/read?image="+copied), data) {
				t.Errorf("%s, unpacked by %s, is another image", mode, how)
			}
		}
		if mode == "none" {
			continue
		}
		status, _, _ := w.ask("POST /msd/write?remove_incomplete=1&image=torn-"+mode+"&compressed=auto", bytes.NewReader(packed[:len(packed)/2]))
		if state := w.must("GET /msd", nil); status == 200 || at(state, "storage", "images", "torn-"+mode) != nil {
			t.Errorf("half of a file of %s: status %d, and the images are %v", mode, status, at(state, "storage", "images"))
		}
	}
	job := w.must("POST /msd/checksum?image=copy-zstd0", nil)
	for {
		all := w.must("GET /msd/jobs", nil)
		if j := at(all, "jobs", fmt.Sprint(job["job"])); at(j, "active") == false {
			if at(j, "error") != nil || at(j, "done") != float64(len(data)) {
				t.Errorf("the job ended as %v", j)
			}
			break
		}
	}
}

// TestRemoteImage has a drive hold an image by its URL.
func TestRemoteImage(t *testing.T) {
	var asked map[string]string
	w := newWorld(t, func(_ *imagestore.Config, d *drive.Config, _ *Config) {
		d.OpenRemote = func(_ context.Context, url string, params map[string]string) (*block.Disk, error) {
			if asked = params; strings.HasSuffix(url, "none") {
				return nil, errors.New("not found")
			}
			return block.NewDisk(block.NewMemory(4096))
		}
	})
	w.must("POST /msd/set_params?image=https://a.example/x.iso&user=u&cdrom=1", nil)
	w.must("POST /msd/set_connected?connected=1", nil)
	state := w.must("GET /msd", nil)
	if at(state, "drive", "image", "in_storage") != false || at(state, "drive", "image", "size") != 4096.0 || len(asked) != 1 || asked["user"] != "u" {
		t.Errorf("the state is %v, asked with %v", state, asked)
	}
	w.must("POST /msd/set_connected?connected=0", nil)
	w.must("POST /msd/set_params?image=https://a.example/none", nil)
	w.refused("POST /msd/set_connected?connected=1", nil, 400, "MsdRemoteError")
	w.must("POST /msd/set_params?image=", nil)
	w.refused("POST /msd/set_connected?connected=1", nil, 400, "MsdImageNotSelected")
}

// TestFetch fetches images from a server that breaks off, redirects, and lies.
func TestFetch(t *testing.T) {
	data := bytes.Repeat([]byte("remote data "), 100000)
	breaks := 0
	far := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/files/breaks.img":
			rw.Header().Set("ETag", `"1"`)
			if breaks++; breaks < 3 {
				rw.Header().Set("Content-Length", fmt.Sprint(len(data)))
				if start := r.Header.Get("Range"); start != "" {
					var off int
					fmt.Sscanf(start, "bytes=%d-", &off)
					rw.Header().Set("Content-Length", fmt.Sprint(len(data)-off))
					rw.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, len(data)-1, len(data)))
					rw.WriteHeader(206)
					rw.Write(data[off : off+1000])
					return
				}
				rw.Write(data[:len(data)/3])
				return
			}
			http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(data))
		case "/moved":
			http.Redirect(rw, r, "/files/whole.img", http.StatusFound)
		case "/bad":
			http.Redirect(rw, r, "file:///etc/passwd", http.StatusFound)
		case "/loop":
			http.Redirect(rw, r, "/loop", http.StatusFound)
		case "/files/whole.img":
			http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(data))
		case "/named":
			rw.Header().Set("Content-Disposition", `attachment; filename="other name.iso"`)
			rw.Write(data)
		default:
			http.NotFound(rw, r)
		}
	}))
	defer far.Close()
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) { c.Fetch.Private, c.Fetch.Pause = true, 1 })
	fetch := func(args string) string {
		t.Helper()
		answer, err := w.web.Client().Post(w.web.URL+"/api/msd/write_remote?"+args, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var text bytes.Buffer
		text.ReadFrom(answer.Body)
		if answer.StatusCode == 200 && answer.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%s: the type is %s", args, answer.Header.Get("Content-Type"))
		}
		lines := strings.Split(strings.TrimSpace(text.String()), "\r\n")
		return lines[len(lines)-1]
	}
	for args, name := range map[string]string{"url=" + far.URL + "/files/breaks.img": "breaks.img", "url=" + far.URL + "/moved&prefix=sub": "sub/whole.img", "url=" + far.URL + "/named&image=given.iso": "given.iso"} {
		last := fetch(args)
		if want := fmt.Sprintf(`{"ok":true,"result":{"image":{"name":%q,"size":%d,"written":%d}}}`, name, len(data), len(data)); last != want {
			t.Errorf("%s: the last line is %s, want %s", args, last, want)
			continue
		}
		if !bytes.Equal(w.get("/msd/read?image="+name), data) {
			t.Errorf("%s is another image", name)
		}
	}
	for _, bad := range []string{"/bad", "/loop", "/files/none"} {
		if last := fetch("url=" + far.URL + bad); !strings.Contains(last, "MsdRemoteError") {
			t.Errorf("%s: %s", bad, last)
		}
	}
	if last := fetch("remove_incomplete=1&image=z&sha256=" + strings.Repeat("0", 64) + "&url=" + far.URL + "/files/whole.img"); !strings.Contains(last, `{"ok":false,"result":{"error":"MsdChecksumError"`) {
		t.Errorf("another checksum: %s", last)
	}
	job := w.must("POST /msd/write_remote?background=1&image=bg.img&url="+far.URL+"/files/whole.img", nil)
	for at(w.must("GET /msd/jobs", nil), "jobs", fmt.Sprint(job["job"]), "active") == true {
	}
	if !bytes.Equal(w.get("/msd/read?image=bg.img"), data) {
		t.Error("the image of a job is another")
	}
	strict := newWorld(t)
	if text := strict.refused("POST /msd/write_remote?url="+far.URL+"/files/whole.img", nil, 400, "MsdRemoteError"); !strings.Contains(text, "public") {
		t.Errorf("an address that is not public: %s", text)
	}
}

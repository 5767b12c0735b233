package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// TestFetchAllowed has addresses of every kind that a fetch may not go to refused, in each
// form in which they can be written, and those of the Internet allowed.
func TestFetchAllowed(t *testing.T) {
	for _, a := range []string{
		"127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "0.0.0.0", "0.1.2.3", "100.64.0.1", "100.127.255.255",
		"192.0.0.8", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1",
		"64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2001::1", "2001:db8::1", "100::1", "3fff::1",
	} {
		f := &Fetch{}
		if err := f.allowed(net.JoinHostPort(a, "80")); !errors.Is(err, errPrivate) {
			t.Errorf("%s: %v", a, err)
		}
		f.Private = true
		if err := f.allowed(net.JoinHostPort(a, "80")); err != nil {
			t.Errorf("%s, allowed: %v", a, err)
		}
	}
	for _, a := range []string{"8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.169.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"} {
		if err := (&Fetch{}).allowed(net.JoinHostPort(a, "80")); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	if err := (&Fetch{}).allowed("no address"); err == nil {
		t.Error("what is no address is allowed")
	}
}

// A lookalike is a connection whose other end says that it has another address.
type lookalike struct {
	net.Conn
	remote net.Addr
}

func (c lookalike) RemoteAddr() net.Addr { return c.remote }

// TestFetchPrivate has a server that seems public lead to one that is not: by a redirect,
// or by a name that has another address at the second look. No byte is sent to that one.
func TestFetchPrivate(t *testing.T) {
	var asked atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.WriteString(w, "what is inside")
	}))
	defer inside.Close()
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			io.WriteString(w, "public")
		case "/breaks": // and the second connection finds another address
			w.Header().Set("Content-Length", "10")
			w.Write([]byte("12345"))
		default:
			http.Redirect(w, r, "http://"+strings.TrimPrefix(r.URL.Path, "/to/")+"/file", http.StatusFound)
		}
	}))
	defer far.Close()
	public := &net.TCPAddr{IP: net.IPv4(8, 8, 8, 8), Port: 80}
	var dials atomic.Int64
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) {
		c.Fetch.Pause = 1
		c.Fetch.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			to, seems := inside, net.Addr(nil)
			if host == "far.example" || host == "rebinds.example" && dials.Add(1) == 1 {
				to, seems = far, public
			}
			c, err := new(net.Dialer).DialContext(ctx, network, to.Listener.Addr().String())
			if err == nil && seems != nil {
				c = lookalike{c, seems}
			}
			return c, err
		}
	})
	fetch := func(url string) string {
		t.Helper()
		_, text := w.text("POST /msd/write_remote?remove_incomplete=1&image=x.img&url="+url, nil)
		return text
	}
	if text := fetch("http://far.example/file"); !strings.Contains(text, `"written":6`) {
		t.Errorf("a public file: %s", text)
	}
	w.must("POST /msd/remove?image=x.img", nil)
	for _, url := range []string{"http://far.example/to/10.0.0.1", "http://far.example/to/localhost", "http://far.example/to/metadata.example", "http://rebinds.example/breaks", "http://127.0.0.1/", "http://2130706433/", "http://[::1]/", "http://0x7f.1/"} {
		if text := fetch(url); !strings.Contains(text, "MsdRemoteError") || strings.Contains(text, "what is inside") {
			t.Errorf("%s: %s", url, text)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("a server inside was asked %d times", n)
	}
	if state := w.must("GET /msd", nil); len(at(state, "storage", "images").(map[string]any)) != 0 {
		t.Errorf("there is %v", at(state, "storage", "images"))
	}
}

// TestFetchLies has a server break off, and then answer the request for the rest with what
// it was not asked for; and be silent.
func TestFetchLies(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 100)
	const half = 500
	answers := map[string]http.HandlerFunc{
		"another start": func(w http.ResponseWriter, r *http.Request) { rangeAnswer(w, "bytes 400-999/1000", data[400:]) },
		"another size": func(w http.ResponseWriter, r *http.Request) {
			rangeAnswer(w, "bytes 500-1999/2000", make([]byte, 1500))
		},
		"not to the end": func(w http.ResponseWriter, r *http.Request) { rangeAnswer(w, "bytes 500-600/1000", data[500:601]) },
		"beyond the end": func(w http.ResponseWriter, r *http.Request) {
			rangeAnswer(w, "bytes 500-1500/1000", make([]byte, 1001))
		},
		"no size":      func(w http.ResponseWriter, r *http.Request) { rangeAnswer(w, "bytes 500-999/*", data[500:]) },
		"a size below": func(w http.ResponseWriter, r *http.Request) { rangeAnswer(w, "bytes 500-999/-1", data[500:]) },
		"huge numbers": func(w http.ResponseWriter, r *http.Request) {
			rangeAnswer(w, "bytes 99999999999999999999-1/1", data[500:])
		},
		"another unit":    func(w http.ResponseWriter, r *http.Request) { rangeAnswer(w, "lines 500-999/1000", data[500:]) },
		"no range":        func(w http.ResponseWriter, r *http.Request) { rangeAnswer(w, "", data[500:]) },
		"the whole again": func(w http.ResponseWriter, r *http.Request) { w.Write(data) },
		"not satisfiable": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
		"an error":        func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"more than it says": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 500-999/1000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(append(bytes.Clone(data[500:]), "more"...))
			w.(http.Flusher).Flush()
		},
		"silence": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 500-999/1000")
			w.Header().Set("Content-Length", "500")
			w.WriteHeader(http.StatusPartialContent)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	}
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.Write(data[:half])
			return
		}
		answers[r.URL.Query().Get("how")](w, r)
	}))
	defer far.Close()
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) {
		c.Fetch.Private, c.Fetch.Pause, c.Fetch.Attempts, c.Idle = true, 1, 2, 500*time.Millisecond
	})
	for how := range answers {
		name := strings.ReplaceAll(how, " ", "-") + ".img"
		_, text := w.text("POST /msd/write_remote?image="+name+"&url="+far.URL+"/f%3Fhow="+strings.ReplaceAll(how, " ", "%2520"), nil)
		if !strings.Contains(text, `"ok":false`) || strings.Contains(text, "InternalError") {
			t.Errorf("%s: %s", how, text)
		}
		i, err := w.store.Image(name)
		if err != nil || i.Complete {
			t.Errorf("%s: what is there is %+v, %v", how, i, err)
		}
	}
}

func rangeAnswer(w http.ResponseWriter, value string, body []byte) {
	if value != "" {
		w.Header().Set("Content-Range", value)
	}
	w.WriteHeader(http.StatusPartialContent)
	w.Write(body)
}

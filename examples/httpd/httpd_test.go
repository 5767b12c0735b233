package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/examples/internal/testing/exampletest"
)

// withServer runs f beside s on host B.
func withServer(t *testing.T, s server, f func(t *testing.T, client *setup.Host, log *bytes.Buffer)) {
	exampletest.Bubble(t, nil, func(t *testing.T, p *setup.Pair) {
		var out bytes.Buffer
		tap := setup.New("httpd", "", "", &out).Tap()
		if err := tap.Parse(nil); err != nil {
			t.Fatal(err)
		}
		if err := s.openDir(); err != nil {
			t.Fatal(err)
		}
		l, err := p.B.Listen("tcp", fmt.Sprintf(":%d", s.defaultPort()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.serve(ctx, l, s.handler(tap, p.B), tap) }()
		f(t, p.A, &out)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func TestPage(t *testing.T) {
	withServer(t, server{}, func(t *testing.T, h *setup.Host, out *bytes.Buffer) {
		client := exampletest.Client(h)
		defer client.CloseIdleConnections()
		if status, body := exampletest.Get(t, client, "http://10.0.0.2/"); status != http.StatusOK || body != string(pageHTML) {
			t.Errorf("status %d, %d bytes", status, len(body))
		}
		if status, _ := exampletest.Get(t, client, "http://10.0.0.2/other"); status != http.StatusNotFound {
			t.Errorf("/other: status %d", status)
		}
		status, body := exampletest.Get(t, client, "http://10.0.0.2/stats.json")
		var s snapshot
		if err := json.Unmarshal([]byte(body), &s); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v\n%s", status, err, body)
		}
		checkSnapshot(t, s)
		if lines := out.String(); strings.Count(lines, "\n") != 2 || !strings.Contains(lines, `GET "/other" HTTP/1.1: 404, 19 bytes`) {
			t.Errorf("log:\n%s", lines)
		}
	})
}

func checkSnapshot(t *testing.T, s snapshot) {
	t.Helper()
	if s.Addr != setup.AddrB || s.Kernel != setup.AddrA || s.Card != "pipe-b" || s.MTU != 1500 || s.Goroutines == 0 {
		t.Errorf("%+v", s)
	}
	if len(s.Connections) != 2 {
		t.Fatalf("connections: %+v", s.Connections)
	}
	if l := s.Connections[0]; l.State != "LISTEN" || l.Local != "0.0.0.0:80" || l.Remote != "" || l.Yours {
		t.Errorf("%+v", l)
	}
	if c := s.Connections[1]; c.State != "ESTABLISHED" || c.Local != "10.0.0.2:80" || !c.Yours || c.MSS != 1448 || c.Window == 0 {
		t.Errorf("%+v", c)
	}
	passed := map[string]uint64{}
	for _, e := range s.Edges {
		passed[e.Name] += e.Passed
	}
	for _, name := range []string{"link.Rx", "ipRx", "tcpRx", "ipTx", "hop"} {
		if passed[name] == 0 {
			t.Errorf("nothing has passed %s", name)
		}
	}
	var names []string
	for _, l := range s.Layers {
		names = append(names, l.Name)
		drops := 0
		for _, c := range l.Counters {
			if c.Drop {
				drops++
			}
			if c.Name == "InSegments" && c.Value == 0 {
				t.Error("no segment has arrived")
			}
		}
		if drops == 0 || drops == len(l.Counters) {
			t.Errorf("%s has %d counters, and %d of drops", l.Name, len(l.Counters), drops)
		}
	}
	if got := strings.Join(names, " "); got != "pipe-b ethernet arp ipv4 icmp udp tcp" {
		t.Errorf("layers %s", got)
	}
}

// TestPageIsSelfContained shows that the page asks nobody else for anything,
// and that all counters whose rates it draws exist.
func TestPageIsSelfContained(t *testing.T) {
	html := string(pageHTML)
	for _, bad := range []string{"https:", `src="`, "@import", "innerHTML"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	exampletest.Bubble(t, nil, func(t *testing.T, p *setup.Pair) {
		stats := p.B.Stats()
		for _, part := range strings.Split(html, `data-rates="`)[1:] {
			names, _, _ := strings.Cut(part, `"`)
			for name := range strings.FieldsSeq(names) {
				if _, ok := stats[strings.Replace(name, "card.", "pipe-b.", 1)]; !ok {
					t.Errorf("there is no counter %s", name)
				}
			}
		}
	})
}

// TestTLS shows that HTTP/2 is agreed on, and the certificate good for the
// address.
func TestTLS(t *testing.T) {
	withServer(t, server{tls: true}, func(t *testing.T, h *setup.Host, _ *bytes.Buffer) {
		var served *x509.Certificate
		client := &http.Client{Transport: &http.Transport{
			DialContext: h.DialContext, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
				served = s.PeerCertificates[0]
				return nil
			}},
		}}
		defer client.CloseIdleConnections()
		response, err := client.Get("https://10.0.0.2/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.ProtoMajor != 2 || len(body) != len(pageHTML) {
			t.Errorf("%s, %d bytes, %v", response.Proto, len(body), err)
		}
		for _, name := range []string{"10.0.0.2", "127.0.0.1", "localhost"} {
			if err := served.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		if now := time.Now(); now.Before(served.NotBefore) || now.After(served.NotAfter) {
			t.Errorf("good from %v to %v", served.NotBefore, served.NotAfter)
		}
	})
}

// TestDir serves a directory, out of which a link leads.
func TestDir(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("a big file ", 100_000)
	for name, text := range map[string]string{"secret": "secret", "public/big": big, "public/sub/index.html": "<p>index"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(dir, "public/link")); err != nil {
		t.Fatal(err)
	}
	withServer(t, server{dir: filepath.Join(dir, "public")}, func(t *testing.T, h *setup.Host, out *bytes.Buffer) {
		client := exampletest.Client(h)
		defer client.CloseIdleConnections()
		if status, body := exampletest.Get(t, client, "http://10.0.0.2/big"); status != http.StatusOK || body != big {
			t.Errorf("big: status %d, %d bytes", status, len(body))
		}
		if _, body := exampletest.Get(t, client, "http://10.0.0.2/sub/"); body != "<p>index" {
			t.Errorf("sub: %q", body)
		}
		for _, path := range []string{"/link", "/%2e%2e/secret", "/stats.json"} {
			if status, body := exampletest.Get(t, client, "http://10.0.0.2"+path); status == http.StatusOK || strings.Contains(body, "secret") {
				t.Errorf("%s: status %d, %q", path, status, body)
			}
		}
		if want := fmt.Sprintf(`GET "/big" HTTP/1.1: 200, %d bytes`, len(big)); !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, out)
		}
	})
	s := server{dir: filepath.Join(dir, "nothing")}
	if err := s.openDir(); err == nil || !strings.Contains(err.Error(), "-dir: ") {
		t.Errorf("error %v", err)
	}
}

func TestURL(t *testing.T) {
	for _, c := range []struct {
		tls  bool
		port int
		want string
	}{
		{false, 80, "http://10.0.0.2/"}, {false, 443, "http://10.0.0.2:443/"},
		{true, 443, "https://10.0.0.2/"}, {true, 80, "https://10.0.0.2:80/"},
	} {
		s := server{tls: c.tls}
		if got := s.url(fmt.Sprintf("10.0.0.2:%d", c.port)); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// TestLogUnwraps shows that handlers reach through to the server's own writer.
func TestLogUnwraps(t *testing.T) {
	var out bytes.Buffer
	recorder := httptest.NewRecorder()
	handler := logAccess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	}), log.New(&out, "", 0))
	handler.ServeHTTP(recorder, httptest.NewRequest("GET", "/x%0ay", nil))
	if !recorder.Flushed || !strings.Contains(out.String(), `GET "/x\ny" HTTP/1.1: 418, 0 bytes`) {
		t.Errorf("flushed: %v, log %q", recorder.Flushed, out.String())
	}
}

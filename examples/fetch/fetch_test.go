package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/examples/internal/testing/exampletest"
)

const text = "what there is to fetch\n"

// mux is a server to fetch from.
func mux() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/text", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
	m.Handle("/moved", http.RedirectHandler("/text", http.StatusFound))
	return m
}

// fetches runs fetch beside a server on host B, and returns what it prints.
func fetches(t *testing.T, o options) (out string, err error) {
	exampletest.Bubble(t, nil, func(t *testing.T, p *setup.Pair) {
		l, listenErr := p.B.Listen("tcp", ":80")
		if listenErr != nil {
			t.Fatal(listenErr)
		}
		ctx, cancel := context.WithCancel(t.Context())
		server := &http.Server{Handler: mux()}
		ended := make(chan error)
		go func() { ended <- setup.ServeHTTP(ctx, server, func() error { return server.Serve(l) }) }()
		var b bytes.Buffer
		err = fetch(t.Context(), p.A, o, &b)
		out = b.String()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return out, err
}

func TestFetch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	out, err := fetches(t, options{url: "http://10.0.0.2/moved", file: file, verbose: true})
	if err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != text {
		t.Errorf("the file has %q, %v", got, err)
	}
	for _, want := range []string{"Content-Length: 23", "HTTP/1.1 200 OK: 23 bytes in", "bit/s\n", " to 10.0.0.2:80, ", "mss 1448", "SACK true"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestFetchFails(t *testing.T) {
	for _, c := range []struct {
		o    options
		want string
	}{
		{options{url: "http://10.0.0.2/nothing"}, "404"},
		{options{url: "http://10.0.0.2:81/"}, "connection refused"},
		{options{url: "http://10.0.0.2/text", file: "/nowhere/at/all"}, "-o: "},
		{options{url: "gopher://10.0.0.2/"}, "gopher"},
		{options{url: "://"}, "parse"},
	} {
		if out, err := fetches(t, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v\n%s", c.o, err, out)
		}
	}
}

// TestTimeout fetches from a host that is not there.
func TestTimeout(t *testing.T) {
	exampletest.Bubble(t, nil, func(t *testing.T, p *setup.Pair) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := fetch(ctx, p.A, options{url: "http://10.0.0.9/"}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
			t.Errorf("error %v", err)
		}
	})
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"http://a/", "http://b/"}} {
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), "-h explains") {
			t.Errorf("%q: error %v", args, err)
		}
	}
}

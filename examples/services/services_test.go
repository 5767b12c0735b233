package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/pattern"
	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/examples/internal/testing/exampletest"
)

// withServices runs f beside the services on host B.
func withServices(t *testing.T, f func(t *testing.T, client *setup.Host)) {
	exampletest.Bubble(t, nil, func(t *testing.T, p *setup.Pair) {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := start(p.B, 80)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- serve(ctx, l) }()
		f(t, p.A)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func dial(t *testing.T, h *setup.Host, network string, port int) net.Conn {
	t.Helper()
	c, err := h.Dial(network, fmt.Sprintf("10.0.0.2:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEcho(t *testing.T) {
	withServices(t, func(t *testing.T, h *setup.Host) {
		c := dial(t, h, "tcp", 7)
		defer c.Close()
		want := bytes.Repeat([]byte("echo"), 200_000)
		go func() {
			c.Write(want)
			c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
	})
}

func TestDiscard(t *testing.T) {
	withServices(t, func(t *testing.T, h *setup.Host) {
		c := dial(t, h, "tcp", 9)
		defer c.Close()
		if _, err := c.Write(make([]byte, 10<<20)); err != nil {
			t.Error(err)
		}
		c.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
	})
}

func TestDaytime(t *testing.T) {
	withServices(t, func(t *testing.T, h *setup.Host) {
		c := dial(t, h, "tcp", 13)
		defer c.Close()
		got, err := io.ReadAll(c)
		checkTime(t, string(got))
		if err != nil {
			t.Error(err)
		}
	})
}

func checkTime(t *testing.T, s string) {
	t.Helper()
	at, err := time.Parse("Monday, January 2, 2006 15:04:05-MST\r\n", s)
	if err != nil || time.Since(at).Abs() > 2*time.Second {
		t.Errorf("%q: %v, %v", s, at, err)
	}
}

func TestChargen(t *testing.T) {
	withServices(t, func(t *testing.T, h *setup.Host) {
		c := dial(t, h, "tcp", 19)
		defer c.Close()
		c.Write([]byte("is thrown away"))
		got := make([]byte, 1<<20)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(got[:len(got)-len(got)%74], []byte("\r\n")) {
			if len(line) > 0 && (len(line) != 72 || line[0] != byte(' '+i%95) || line[71] != byte(' '+(i+71)%95)) {
				t.Fatalf("line %d is %q", i, line)
			}
		}
	})
}

func TestUDP(t *testing.T) {
	withServices(t, func(t *testing.T, h *setup.Host) {
		ask := func(port int) string {
			c := dial(t, h, "udp", port)
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 2000)
			n, err := c.Read(answer)
			if err != nil {
				return err.Error()
			}
			return string(answer[:n])
		}
		if s := ask(7); s != "hello" {
			t.Errorf("echo: %q", s)
		}
		if s := ask(9); !strings.Contains(s, "timeout") {
			t.Errorf("discard: %q", s)
		}
		checkTime(t, ask(13))
		if s := ask(19); len(s) > 512 || !bytes.HasPrefix(characters, []byte(s)) {
			t.Errorf("chargen: %q", s)
		}
	})
}

// TestNoLoop shows that two servers do not answer each other's answers.
func TestNoLoop(t *testing.T) {
	withServices(t, func(t *testing.T, h *setup.Host) {
		c, err := h.ListenPacket("udp", ":7")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.WriteTo([]byte("hello"), &net.UDPAddr{IP: net.IP{10, 0, 0, 2}, Port: 19})
		c.SetReadDeadline(time.Now().Add(time.Second))
		if n, _, err := c.ReadFrom(make([]byte, 2000)); err == nil {
			t.Errorf("an answer of %d bytes", n)
		}
	})
}

func TestWeb(t *testing.T) {
	withServices(t, func(t *testing.T, h *setup.Host) {
		client := exampletest.Client(h)
		defer client.CloseIdleConnections()
		get := func(path string) string {
			t.Helper()
			status, body := exampletest.Get(t, client, "http://10.0.0.2"+path)
			if status != http.StatusOK {
				t.Errorf("%s: status %d", path, status)
			}
			return body
		}
		if body := get("/"); len(body) != 1024 {
			t.Errorf("/ has %d bytes", len(body))
		}
		for _, n := range []int64{0, 1, 1_000_000, 3_000_000} {
			var want bytes.Buffer
			pattern.New().Write(&want, n)
			if body := get(fmt.Sprintf("/bytes/%d", n)); body != want.String() {
				t.Errorf("/bytes/%d has %d bytes, or wrong ones", n, len(body))
			}
			if sum := get(fmt.Sprintf("/sha256/%d", n)); sum != fmt.Sprintf("%x\n", sha256.Sum256(want.Bytes())) {
				t.Errorf("/sha256/%d is %q", n, sum)
			}
		}
		for _, path := range []string{"/bytes/x", "/bytes/-1", "/sha256/1.5", "/bytes/99999999999999999999"} {
			if status, _ := exampletest.Get(t, client, "http://10.0.0.2"+path); status != http.StatusBadRequest {
				t.Errorf("%s: status %d", path, status)
			}
		}
		head, err := client.Head("http://10.0.0.2/bytes/123456789")
		if err != nil || head.ContentLength != 123456789 || head.Header.Get("ETag") != `"bytes-123456789"` {
			t.Errorf("HEAD: %v, %+v", err, head)
		}
	})
}

func TestSink(t *testing.T) {
	withServices(t, func(t *testing.T, h *setup.Host) {
		client := exampletest.Client(h)
		defer client.CloseIdleConnections()
		text := bytes.Repeat([]byte("up and up "), 300_000)
		want := fmt.Sprintf("%x %d\n", sha256.Sum256(text), len(text))
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			for name, body := range map[string]io.Reader{"of a length": bytes.NewReader(text), "chunked": io.MultiReader(bytes.NewReader(text))} {
				request, err := http.NewRequestWithContext(t.Context(), method, "http://10.0.0.2/sink", body)
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || string(got) != want {
					t.Errorf("%s %s: %q, %v", method, name, got, err)
				}
			}
		}
	})
}

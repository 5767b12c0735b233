package stack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

// serve runs server on b at port 80 until the test ends.
func (p pair) serve(t *testing.T, server *http.Server) {
	t.Helper()
	l := listen(t, p.b, ":80")
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		time.Sleep(time.Second) // package http lingers on what it closes
	})
}

// client is an HTTP client on a, until the test ends.
func (p pair) client(t *testing.T) *http.Client {
	transport := &http.Transport{
		DialContext: p.a.DialContext, ExpectContinueTimeout: time.Minute, MaxIdleConnsPerHost: 100,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// testHTTP runs f in a bubble, with a client on one stack and handler on the
// other, at http://10.0.0.2.
func testHTTP(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, p pair, c *http.Client)) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		t.Cleanup(p.close)
		p.serve(t, &http.Server{Handler: handler})
		f(t, p, p.client(t))
	})
}

// fetch returns the response, its body already read.
func fetch(t *testing.T, c *http.Client, method, url string, body io.Reader) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, got
}

func hello(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello, %s", r.URL.Path) }

// copyBody answers with the request's body.
func copyBody(w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).EnableFullDuplex()
	io.Copy(w, r.Body)
}

func TestHTTPKeepAlive(t *testing.T) {
	testHTTP(t, hello, func(t *testing.T, p pair, c *http.Client) {
		for i := range 20 {
			if _, body := fetch(t, c, "GET", fmt.Sprintf("http://10.0.0.2/%d", i), nil); string(body) != fmt.Sprintf("hello, /%d", i) {
				t.Fatalf("answer %q", body)
			}
			time.Sleep(time.Second)
		}
		if n := p.b.Stats()["tcp.PassiveOpens"]; n != 1 {
			t.Errorf("20 requests made %d connections, want 1", n)
		}
	})
}

func TestHTTPParallel(t *testing.T) {
	testHTTP(t, hello, func(t *testing.T, p pair, c *http.Client) {
		done := make(chan string)
		for i := range 100 {
			go func() {
				_, body := fetch(t, c, "GET", fmt.Sprintf("http://10.0.0.2/%d", i), nil)
				done <- string(body)
			}()
		}
		seen := map[string]bool{}
		for range 100 {
			seen[<-done] = true
		}
		if len(seen) != 100 {
			t.Errorf("%d different answers, want 100", len(seen))
		}
	})
}

func TestHTTPBigBodies(t *testing.T) {
	testHTTP(t, copyBody, func(t *testing.T, p pair, c *http.Client) {
		want := payload(4_000_000)
		for _, body := range []io.Reader{
			bytes.NewReader(want),                      // with a Content-Length
			struct{ io.Reader }{bytes.NewReader(want)}, // chunked
		} {
			if _, got := fetch(t, c, "POST", "http://10.0.0.2/", body); !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back, want the %d that were sent", len(got), len(want))
			}
		}
	})
}

func TestHTTPImpaired(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		impair := link.Impairment{Rate: 100e6, Delay: 10 * time.Millisecond, Loss: 0.02, Reorder: 0.02, Seed: 3}
		p := newPair(t, impair.Middleware())
		t.Cleanup(p.close)
		p.serve(t, &http.Server{Handler: http.HandlerFunc(copyBody)})
		want := payload(300_000)
		if _, got := fetch(t, p.client(t), "POST", "http://10.0.0.2/", bytes.NewReader(want)); !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back, want the %d that were sent", len(got), len(want))
		}
	})
}

// What the server flushes arrives at once, not when the body ends.
func TestHTTPChunks(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		for i := range 10 {
			fmt.Fprintf(w, "line %d\n", i)
			http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
		}
		w.Header().Set("X-Sum", "ten")
	}
	testHTTP(t, handler, func(t *testing.T, p pair, c *http.Client) {
		start := time.Now()
		resp, err := c.Get("http://10.0.0.2/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for i := range 10 {
			line, err := lines.ReadString('\n')
			if err != nil || line != fmt.Sprintf("line %d\n", i) {
				t.Fatalf("line %q, %v", line, err)
			}
			if d := time.Since(start); d != time.Duration(i)*time.Second {
				t.Errorf("line %d came after %v", i, d)
			}
		}
		if _, err := lines.ReadByte(); err != io.EOF || resp.Trailer.Get("X-Sum") != "ten" {
			t.Errorf("at the end: %v, trailer %v", err, resp.Trailer)
		}
	})
}

func TestHTTPExpectContinue(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "too much", http.StatusRequestEntityTooLarge)
			return
		}
		copyBody(w, r)
	}
	testHTTP(t, handler, func(t *testing.T, p pair, c *http.Client) {
		post := func(path string, body io.Reader) *http.Response {
			req, err := http.NewRequest("POST", "http://10.0.0.2"+path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = 100_000
			req.Header.Set("Expect", "100-continue")
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		start := time.Now()
		resp := post("/yes", bytes.NewReader(make([]byte, 100_000)))
		if n, err := io.Copy(io.Discard, resp.Body); n != 100_000 || err != nil {
			t.Errorf("%d bytes back, %v", n, err)
		}
		resp.Body.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("took %v: no 100 Continue came", d)
		}
		body := bytes.NewReader(make([]byte, 100_000))
		resp = post("/no", body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge || body.Len() != 100_000 {
			t.Errorf("status %s, %d bytes not sent", resp.Status, body.Len())
		}
	})
}

// A client that goes away in the middle of a body ends the handler, which may
// be blocked in a write by then.
func TestHTTPCancel(t *testing.T) {
	ended := make(chan error, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 64<<10))
		}
		<-r.Context().Done()
		ended <- err
	}
	testHTTP(t, handler, func(t *testing.T, p pair, c *http.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://10.0.0.2/", nil)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.CopyN(io.Discard, resp.Body, 1_000_000); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the handler is blocked
		cancel()
		start := time.Now()
		if err := <-ended; err == nil || time.Since(start) > time.Second {
			t.Errorf("the handler ended with %v after %v", err, time.Since(start))
		}
		if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("the client's read: %v", err)
		}
	})
}

// The timeouts of http.Server rest on the deadlines of connections.
func TestHTTPServerTimeouts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		t.Cleanup(p.close)
		failed := make(chan error, 1)
		p.serve(t, &http.Server{
			ReadHeaderTimeout: 2 * time.Second, IdleTimeout: 3 * time.Second, WriteTimeout: 5 * time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/long" {
					_, err := w.Write(make([]byte, 20_000_000))
					failed <- err
				}
			}),
		})
		for _, c := range []struct {
			name, request string
			want          time.Duration
		}{
			{"header", "GET / HTTP/1.1\r\n", 2 * time.Second},
			{"idle", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 3 * time.Second},
		} {
			conn := dial(t, p.a, "10.0.0.2:80")
			start := time.Now()
			io.WriteString(conn, c.request)
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if d := time.Since(start); d < c.want || d > c.want+time.Second {
				t.Errorf("%s: the server closed after %v, want %v", c.name, d, c.want)
			}
			conn.Close()
		}
		conn := dial(t, p.a, "10.0.0.2:80")
		start := time.Now()
		io.WriteString(conn, "GET /long HTTP/1.1\r\nHost: h\r\n\r\n") // and never read
		if err := <-failed; !isTimeout(err) || time.Since(start) != 5*time.Second {
			t.Errorf("the write ended with %v after %v", err, time.Since(start))
		}
		conn.Close()
	})
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestHTTPHijack(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(conn, buffered)
	}
	testHTTP(t, handler, func(t *testing.T, p pair, c *http.Client) {
		req, _ := http.NewRequest("GET", "http://10.0.0.2/", nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		resp, err := c.Do(req)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v, %v", resp, err)
		}
		conn := resp.Body.(io.ReadWriteCloser)
		defer conn.Close()
		for _, word := range strings.Fields("to and fro on the same connection") {
			io.WriteString(conn, word)
			got := make([]byte, len(word))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != word {
				t.Fatalf("%q came back, %v; want %q", got, err, word)
			}
		}
	})
}

// A graceful shutdown waits for the request that is being served.
func TestHTTPShutdown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		t.Cleanup(p.close)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Second)
			hello(w, r)
		})}
		p.serve(t, server)
		go func() {
			time.Sleep(time.Second)
			server.Shutdown(t.Context())
		}()
		if _, body := fetch(t, p.client(t), "GET", "http://10.0.0.2/", nil); string(body) != "hello, /" {
			t.Errorf("answer %q", body)
		}
		if _, err := p.a.Dial("tcp", "10.0.0.2:80"); err == nil {
			t.Error("the server still accepts")
		}
	})
}

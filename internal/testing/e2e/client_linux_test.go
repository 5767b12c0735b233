package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
)

// client is an HTTP client on the stack.
func (h *host) client(t *testing.T) *http.Client {
	transport := &http.Transport{DialContext: h.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 2 * time.Minute}
}

// TestClient fetches and uploads files as a client of a server on the kernel's
// TCP.
func TestClient(t *testing.T) {
	netns.Need(t)
	for _, plain := range []bool{false, true} {
		for _, wire := range []link.Impairment{{}, lossy} {
			c := cable{plain: plain, wire: wire}
			t.Run(c.String(), func(t *testing.T) {
				sizes := []int{0, 1, 1460, 1_000_000}
				if wire == (link.Impairment{}) {
					sizes = append(sizes, big(wire))
					c.limit = 20e6
				} else {
					t.Parallel()
				}
				h := newHost(t, c)
				l, err := h.ns.Listen("tcp", kernel+":8080")
				must(t, err)
				server := &http.Server{Handler: http.HandlerFunc(serveContent)}
				go server.Serve(l)
				defer server.Close()
				client := h.client(t)
				for _, n := range sizes {
					fetch(t, client, http.MethodGet, fmt.Sprintf("http://%s:8080/%d", kernel, n), nil, n)
					fetch(t, client, http.MethodPut, fmt.Sprintf("http://%s:8080/", kernel), content(n), n)
				}
			})
		}
	}
}

// TestPython fetches a file from Python's web server.
func TestPython(t *testing.T) {
	need(t, "python3")
	h := newHost(t, cable{})
	const size = 3_000_000
	files := t.TempDir()
	contentFile(t, files, size)
	server := command(t, time.Minute, "python3", "-m", "http.server", "--bind", kernel, "--directory", files, "8000")
	must(t, h.ns.Start(server))
	defer func() {
		server.Cancel()
		server.Wait()
	}()
	waitFor(t, "the server", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c, err := h.ns.Dial(ctx, "tcp", kernel+":8000")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	client := h.client(t)
	for range 3 { // HTTP/1.0, so a connection each
		fetch(t, client, http.MethodGet, "http://"+kernel+":8000/"+strconv.Itoa(size), nil, size)
	}
}

// fetch makes one request. The SHA-256 of n bytes must come back: of the body,
// or for a PUT as the body.
func fetch(t *testing.T, client *http.Client, method, url string, body io.Reader, n int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	must(t, err)
	response, err := client.Do(request)
	must(t, err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s", method, url, response.Status)
	}
	var got string
	if method == http.MethodPut {
		all, err := io.ReadAll(response.Body)
		must(t, err)
		got = string(all)
	} else {
		sum := sha256.New()
		_, err := io.Copy(sum, response.Body)
		must(t, err)
		got = fmt.Sprintf("%x", sum.Sum(nil))
	}
	if got != contentSum(n) {
		t.Errorf("%s %s: SHA-256 %s, want %s", method, url, got, contentSum(n))
	}
}

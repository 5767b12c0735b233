package e2e

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
)

// lossy is a bad wire: it loses one frame in a hundred, and holds back two.
var lossy = link.Impairment{Loss: 0.01, Reorder: 0.02, ReorderDelay: 300 * time.Microsecond, Seed: 1}

// big is the size of the big file: 100 MB, or what a run in a hurry can bear.
func big(wire link.Impairment) int {
	switch {
	case testing.Short():
		return 5_000_000
	case wire != link.Impairment{} && !long():
		return 20_000_000
	}
	return 100_000_000
}

// TestCurl fetches files with curl and uploads them, over every kind of cable.
func TestCurl(t *testing.T) {
	netns.Need(t)
	files := t.TempDir()
	for _, plain := range []bool{false, true} {
		for _, mtu := range []int{1500, 576, 9000} {
			for _, wire := range []link.Impairment{{}, lossy} {
				c := cable{plain: plain, mtu: mtu, wire: wire}
				sizes := []int{0, 1, 1460, 1_000_000}
				clean := wire == link.Impairment{}
				if mtu == 1500 && (clean || !plain) || long() {
					sizes = append(sizes, big(wire))
					c.limit = 20e6
				}
				t.Run(c.String(), func(t *testing.T) {
					if !clean { // most of its time it waits
						t.Parallel()
					}
					h := newHost(t, c)
					testCurl(t, h, files, sizes)
					if clean && mtu >= 1500 {
						inOrder(t, h)
					}
				})
			}
		}
	}
}

// inOrder checks that segments have come in order over a wire that loses nothing.
// The queue of a tap holds 1000 frames. Now and then a tuned window is larger, and
// the kernel drops what has no room, and says so.
func inOrder(t *testing.T, h *host) {
	t.Helper()
	n := h.Stats()["tcp.OutOfOrder"]
	if n == 0 {
		return
	}
	if dropped := droppedByKernel(t, h); dropped > 0 {
		t.Logf("%d segments came out of order: the kernel dropped %d frames that it had no room for", n, dropped)
	} else {
		t.Errorf("%d segments came out of order over a wire that loses nothing", n)
	}
}

// droppedByKernel is how many frames the kernel had for the tap, and no room in
// its queue: the twelfth number of the device (proc(5), /proc/net/dev).
func droppedByKernel(t *testing.T, h *host) int {
	t.Helper()
	for line := range strings.Lines(h.output(t, time.Minute, "cat", "/proc/net/dev")) {
		name, counters, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(name, "tap") {
			n, err := strconv.Atoi(strings.Fields(counters)[11])
			must(t, err)
			return n
		}
	}
	t.Fatal("there is no tap")
	return 0
}

func testCurl(t *testing.T, h *host, files string, sizes []int) {
	serveHTTP(t, h)
	for _, n := range sizes {
		start := time.Now()
		curlDownload(t, h, n)
		middle := time.Now()
		curlUpload(t, h, files, n)
		if n >= 1e6 {
			t.Logf("%d bytes: down %.0f Mbit/s, up %.0f Mbit/s", n,
				float64(n)*8e-6/middle.Sub(start).Seconds(), float64(n)*8e-6/time.Since(middle).Seconds())
		}
	}
}

func curlDownload(t *testing.T, h *host, n int) {
	t.Helper()
	sum := sha256.New()
	var complaint strings.Builder
	cmd := command(t, 2*time.Minute, "curl", "-sS", "--fail", "--noproxy", "*", fmt.Sprintf("http://%s/%d", ours, n))
	cmd.Stdout, cmd.Stderr = sum, &complaint
	must(t, h.ns.Start(cmd))
	if err := cmd.Wait(); err != nil {
		t.Fatalf("download of %d bytes: %v\n%s", n, err, complaint.String())
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != contentSum(n) {
		t.Errorf("download of %d bytes: SHA-256 %s, want %s", n, got, contentSum(n))
	}
}

func curlUpload(t *testing.T, h *host, files string, n int) {
	t.Helper()
	got := h.output(t, 2*time.Minute, "curl", "-sS", "--fail", "--noproxy", "*", "-T", contentFile(t, files, n), fmt.Sprintf("http://%s/", ours))
	if got != contentSum(n) {
		t.Errorf("upload of %d bytes: SHA-256 %s, want %s", n, got, contentSum(n))
	}
}

// serveHTTP serves files on port 80 of the stack until the test ends.
func serveHTTP(t *testing.T, h *host) {
	t.Helper()
	l, err := h.Listen("tcp", ":80")
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(serveContent)}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
}

// serveContent answers GET /n with n bytes, and PUT with the SHA-256 of what
// it gets.
func serveContent(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err == nil {
			fmt.Fprintf(w, "%x", sum.Sum(nil))
		}
		return
	}
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(n))
	io.Copy(w, content(n))
}

// content is n bytes, always the same.
func content(n int) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), int64(n))
}

func contentSum(n int) string {
	sum := sha256.New()
	io.Copy(sum, content(n))
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// contentFile is a file in dir with this content.
func contentFile(t *testing.T, dir string, n int) string {
	t.Helper()
	name := filepath.Join(dir, strconv.Itoa(n))
	if _, err := os.Stat(name); err == nil {
		return name
	}
	f, err := os.CreateTemp(dir, "new")
	must(t, err)
	_, err = io.Copy(f, content(n))
	must(t, err)
	must(t, f.Close())
	must(t, os.Rename(f.Name(), name)) // complete, also for tests beside this one
	return name
}

package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/seed-012105e5/gonet/examples/internal/pattern"
)

// web is the handler of the web server.
type web struct {
	pattern pattern.Pattern
	page    []byte
}

// pageLen is how many bytes / has.
const pageLen = 1024

func newWeb() http.Handler {
	w := &web{pattern: pattern.New(), page: characters[:pageLen]}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.serveRoot)
	mux.HandleFunc("GET /bytes/{n}", w.serveBytes)
	mux.HandleFunc("GET /sha256/{n}", w.serveSum)
	mux.HandleFunc("PUT /sink", w.serveSink)
	mux.HandleFunc("POST /sink", w.serveSink)
	return mux
}

func (w *web) serveRoot(rw http.ResponseWriter, _ *http.Request) {
	rw.Header()["Content-Type"] = textType
	rw.Header()["Content-Length"] = pageLength
	rw.Write(w.page)
}

// Ready-made headers, which http.Header.Set would allocate.
var (
	textType   = []string{"text/plain; charset=us-ascii"}
	pageLength = []string{strconv.Itoa(pageLen)}
)

func (w *web) serveBytes(rw http.ResponseWriter, r *http.Request) {
	n, ok := length(rw, r)
	if !ok {
		return
	}
	rw.Header().Set("Content-Type", "application/octet-stream")
	rw.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	rw.Header().Set("ETag", fmt.Sprintf(`"bytes-%d"`, n))
	if r.Method != http.MethodHead {
		_ = w.pattern.Write(rw, n) // the client has gone: it knows
	}
}

func (w *web) serveSum(rw http.ResponseWriter, r *http.Request) {
	n, ok := length(rw, r)
	if !ok {
		return
	}
	sum := sha256.New()
	_ = w.pattern.Write(sum, n) // a hash never fails
	fmt.Fprintf(rw, "%x\n", sum.Sum(nil))
}

// length is the number in the path; false when it is none, which has been
// answered then.
func length(rw http.ResponseWriter, r *http.Request) (int64, bool) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(rw, "want a number of bytes, as in /bytes/1000000", http.StatusBadRequest)
		return 0, false
	}
	return n, true
}

func (w *web) serveSink(rw http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, r.Body, make([]byte, 256<<10))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(rw, "%x %d\n", sum.Sum(nil), n)
}

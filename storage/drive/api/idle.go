package api

import (
	"io"
	"net/http"
	"time"
)

// slowBody is a body that may take any time, as long as bytes come.
type slowBody struct {
	io.Reader
	control *http.ResponseController
	idle    time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	b.control.SetReadDeadline(time.Now().Add(b.idle)) // not all connections can: then the server's own timeouts hold
	return b.Reader.Read(p)
}

// patient is an answer that may take any time, as long as bytes go.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
}

func (w *patient) Write(p []byte) (int, error) {
	w.control.SetWriteDeadline(time.Now().Add(w.idle))
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *patient) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ReadFrom is for io.Copy: larger pieces make larger TLS records and fewer calls.
func (w *patient) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, copySize))
}

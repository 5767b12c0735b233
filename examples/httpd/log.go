package main

import (
	"io"
	"log"
	"net/http"
	"time"
)

// logAccess writes a line about each request; not about those that the page
// itself makes again and again.
func logAccess(next http.Handler, to *log.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == statsPath {
			next.ServeHTTP(w, r)
			return
		}
		began := time.Now()
		l := &logged{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(l, r)
		to.Printf("%s %s %q %s: %d, %d bytes, %v", r.RemoteAddr, r.Method, r.URL.Path, r.Proto, l.status, l.bytes, time.Since(began).Round(time.Microsecond))
	})
}

// logged notes what is answered.
type logged struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (l *logged) WriteHeader(status int) {
	l.status = status
	l.ResponseWriter.WriteHeader(status)
}

func (l *logged) Write(p []byte) (int, error) {
	n, err := l.ResponseWriter.Write(p)
	l.bytes += int64(n)
	return n, err
}

// ReadFrom lets the server send files in big pieces.
func (l *logged) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(l.ResponseWriter, r)
	l.bytes += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (l *logged) Unwrap() http.ResponseWriter { return l.ResponseWriter }

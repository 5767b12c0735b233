package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds what a call sends.
const maxBody = 1 << 20

// Handler serves the calls of the package documentation. Web pages of others get
// nothing, even where a browser can reach it: a request from another origin, or to a
// name that is not localhost's, is refused.
func Handler(c Control) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, status int, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			result, err := f(r)
			if err != nil {
				answer(w, statusOf(err), failure{err.Error()})
				return
			}
			answer(w, status, result)
		})
	}
	handle("GET /targets", http.StatusOK, func(r *http.Request) (any, error) { return c.Targets(r.Context()) })
	handle("GET /sessions", http.StatusOK, func(r *http.Request) (any, error) { return c.Sessions(r.Context()) })
	handle("GET /stats", http.StatusOK, func(r *http.Request) (any, error) { return c.Stats(r.Context()) })
	handle("POST /targets", http.StatusCreated, func(r *http.Request) (any, error) {
		var t Target
		if err := decode(r.Body, &t); err != nil {
			return nil, err
		}
		return nil, c.Create(r.Context(), t)
	})
	handle("DELETE /targets/{name}", http.StatusOK, func(r *http.Request) (any, error) {
		return nil, c.Remove(r.Context(), r.PathValue("name"))
	})
	handle("PUT /targets/{name}/luns/{lun}", http.StatusCreated, func(r *http.Request) (any, error) {
		n, err := number(r)
		if err != nil {
			return nil, err
		}
		var l LUN
		if err := decode(r.Body, &l); err != nil {
			return nil, err
		}
		return nil, c.AddLUN(r.Context(), r.PathValue("name"), n, l)
	})
	handle("DELETE /targets/{name}/luns/{lun}", http.StatusOK, func(r *http.Request) (any, error) {
		n, err := number(r)
		if err != nil {
			return nil, err
		}
		return nil, c.RemoveLUN(r.Context(), r.PathValue("name"), n)
	})
	handle("POST /reload", http.StatusOK, func(r *http.Request) (any, error) { return nil, c.Reload(r.Context()) })
	handle("/", http.StatusOK, func(r *http.Request) (any, error) {
		return nil, fmt.Errorf("%s %s: %w: no such call", r.Method, r.URL.Path, ErrNotFound)
	})
	return guard(mux)
}

// number is the number of the unit that a path names.
func number(r *http.Request) (int, error) {
	n, err := strconv.Atoi(r.PathValue("lun"))
	if err != nil {
		return 0, fmt.Errorf("%q is no number of a unit", r.PathValue("lun"))
	}
	return n, nil
}

// guard refuses what comes from a page of another origin, also if that has its name
// point here (DNS rebinding).
func guard(h http.Handler) http.Handler {
	protected := http.NewCrossOriginProtection()
	protected.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusForbidden, failure{"a request from another origin"})
	}))
	inner := protected.Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" {
			answer(w, http.StatusForbidden, failure{fmt.Sprintf("the host %q: want localhost or an address", r.Host)})
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// A failure is the body of an answer that is no result.
type failure struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, result any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if result == nil {
		result = struct{}{}
	}
	json.NewEncoder(w).Encode(result)
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrExists):
		return http.StatusConflict
	case errors.As(err, new(*http.MaxBytesError)):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// decode reads one JSON value, which has no fields that v has not.
func decode(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("the body is not as it should be: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body goes on behind its end")
	}
	return nil
}

// Serve serves the calls at l until ctx ends, and then lets those that are under way
// end, for some seconds. It closes l.
func Serve(ctx context.Context, l net.Listener, c Control) error {
	s := &http.Server{
		Handler:           Handler(c),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if s.Shutdown(late) != nil {
		s.Close()
	}
	<-ended
	return nil
}

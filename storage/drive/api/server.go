package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// Config says what an API serves. Zero values mean what is said.
type Config struct {
	Store  *imagestore.Store
	Drives []*drive.Drive // at least one; the first is meant where none is named
	Auth   *Auth          // who may do what; nil: everyone everything
	Fetch  Fetch          // how images are fetched from URLs
	Page   http.Handler   // what is at all paths that are no calls; 404 if nil
	Log    *slog.Logger   // who did what; nowhere if nil

	MaxCalls int           // under way at the same time, WebSockets included: 256
	Idle     time.Duration // after which a client that neither sends nor takes bytes is given up: 1 min
}

// A Server is the API. It is an http.Handler.
type Server struct {
	config Config
	log    *slog.Logger
	calls  []call
	counts []callCounts                // of each of calls
	routes map[string]map[string]*call // by path, by method
	origin *http.CrossOriginProtection
	places chan struct{} // has one in it for each call that is under way
	unpack chan struct{} // has one in it for each upload that is being unpacked
	jobs   *jobs
	stop   context.CancelFunc
	ending context.Context // done when the server closes: WebSockets end
}

// New makes an API.
func New(c Config) (*Server, error) {
	if c.Store == nil || len(c.Drives) == 0 {
		return nil, errors.New("api: want a store and a drive")
	}
	s := &Server{config: c, log: c.Log, calls: calls(), routes: map[string]map[string]*call{}}
	if s.config.MaxCalls <= 0 {
		s.config.MaxCalls = 256
	}
	if s.config.Idle <= 0 {
		s.config.Idle = time.Minute
	}
	s.origin, s.places, s.jobs = http.NewCrossOriginProtection(), make(chan struct{}, s.config.MaxCalls), newJobs()
	s.unpack = make(chan struct{}, maxUnpacking)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.counts = make([]callCounts, len(s.calls))
	for i := range s.calls {
		s.calls[i].index = i
		c := &s.calls[i]
		if s.routes[c.path] == nil {
			s.routes[c.path] = map[string]*call{}
		}
		s.routes[c.path][c.method] = c
	}
	s.ending, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends the WebSockets, which http.Server.Shutdown does not know of, and the jobs.
func (s *Server) Close() {
	s.stop()
	s.jobs.close()
}

// A request is a call under way.
type request struct {
	*values
	w    http.ResponseWriter
	http *http.Request
	user string
	role Role
}

func (r *request) context() context.Context { return r.http.Context() }

// ServeHTTP answers a call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Clean("/" + strings.TrimPrefix(r.URL.Path, "/api"))
	methods, ok := s.routes[name]
	if !ok {
		if s.config.Page != nil && !strings.HasPrefix(r.URL.Path, "/api/") {
			s.config.Page.ServeHTTP(w, r)
			return
		}
		s.fail(w, errNotFound)
		return
	}
	c, ok := methods[r.Method]
	if !ok {
		s.fail(w, errMethod)
		return
	}
	began := time.Now()
	req := &request{w: w, http: r}
	result, err := s.do(c, req)
	status := http.StatusOK
	switch result.(type) {
	case streamed:
	default:
		if err == nil {
			answer(w, http.StatusOK, result)
		}
	}
	if err != nil {
		_, status = describe(err)
		if _, done := result.(streamed); !done {
			s.fail(w, err)
		}
	}
	if err != nil {
		s.counts[c.index].refused.Add(1)
	} else {
		s.counts[c.index].done.Add(1)
	}
	s.note(c, req, status, time.Since(began), err)
}

// do checks a call and does it.
func (s *Server) do(c *call, r *request) (any, error) {
	query, err := parseQuery(r.http.URL.RawQuery)
	if err != nil {
		return nil, badField("query", "%v", err)
	}
	if err := s.authenticate(c, r); err != nil {
		return nil, err
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default:
		return nil, errUnavailable
	}
	if r.values, err = c.read(query); err != nil {
		return nil, err
	}
	return c.handle(s, r)
}

// note logs who did what.
func (s *Server) note(c *call, r *request, status int, took time.Duration, err error) {
	level := slog.LevelInfo
	if c.method == http.MethodGet {
		level = slog.LevelDebug
	}
	attributes := []any{"user", r.user, "from", r.http.RemoteAddr, "call", c.path, "status", status, "took", took.Round(time.Millisecond)}
	if r.values != nil {
		for _, p := range c.params {
			if r.has(p.name) {
				attributes = append(attributes, p.name, shorten(redact(r.query.Get(p.name))))
			}
		}
	}
	if err != nil {
		attributes = append(attributes, "err", err)
	}
	s.log.Log(r.context(), level, "call", attributes...)
}

// redact takes passwords out of what may be a URL.
func redact(given string) string {
	if u, err := url.Parse(given); err == nil && u.User != nil {
		return u.Redacted()
	}
	return given
}

// envelope is what every answer is in.
type envelope struct {
	OK     bool `json:"ok"`
	Result any  `json:"result"`
}

func answer(w http.ResponseWriter, status int, result any) {
	if result == nil {
		result = struct{}{}
	}
	text, err := json.MarshalIndent(envelope{OK: status == http.StatusOK, Result: result}, "", "    ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", fmt.Sprint(len(text)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(text)
}

// failure is the result of a call that has failed.
func failure(err error) map[string]string {
	name, _ := describe(err)
	return map[string]string{"error": name, "error_msg": err.Error()}
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	_, status := describe(err)
	answer(w, status, failure(err))
}

// drive is the one that a request is about.
func (s *Server) drive(r *request) (*drive.Drive, error) {
	name := r.names["drive"]
	if name == "" {
		return s.config.Drives[0], nil
	}
	for _, d := range s.config.Drives {
		if d.Name() == name {
			return d, nil
		}
	}
	return nil, badField("drive", "there is no drive %q", shorten(name))
}

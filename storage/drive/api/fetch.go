package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// Fetch says how images are fetched from URLs. Zero values mean what is said.
type Fetch struct {
	DialContext func(ctx context.Context, network, address string) (net.Conn, error) // the kernel's
	// Private allows addresses that are not those of the public Internet. Without it, a
	// server that can be reached from outside does not fetch from its own network for
	// whoever may upload.
	Private  bool
	Attempts int           // connections for one image, if it breaks off: 5
	Pause    time.Duration // before another: 1 s
}

// Bounds of a fetch.
const (
	maxRedirects = 10
	maxHeader    = 64 << 10
)

var errPrivate = errors.New("the address is not one of the public Internet, and others are not allowed")

// allowed says whether a fetch may go to an address.
func (f *Fetch) allowed(address string) error {
	if f.Private {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	ip = ip.Unmap().WithZone("")
	inside := func(p netip.Prefix) bool { return p.Contains(ip) }
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || slices.ContainsFunc(notPublic(), inside) {
		return fmt.Errorf("%v: %w", ip, errPrivate)
	}
	return nil
}

// notPublic are addresses that are not those of the public Internet, or that lead to such
// in another form, beside those that netip knows (RFC 6890 and IANA's registries of special
// purpose addresses).
func notPublic() []netip.Prefix {
	var all []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fec0::/10",
	} {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// Dial connects, and sees that the address is allowed: before the connection with the
// kernel's sockets, after it with others.
func (f *Fetch) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if f.DialContext == nil {
		d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error { return f.allowed(address) }}
		return d.DialContext(ctx, network, address)
	}
	c, err := f.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := f.allowed(c.RemoteAddr().String()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// checkURL says whether a URL may be fetched.
func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("want an http or https URL")
	case u.Hostname() == "":
		return errors.New("the URL has no host")
	}
	return nil
}

// Client is a client that goes where fetches may go, with timeouts of a connection and an answer.
func (f *Fetch) Client(insecure bool, timeout time.Duration) *http.Client {
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			return f.Dial(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: insecure}, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
		MaxResponseHeaderBytes: maxHeader, DisableKeepAlives: true, DisableCompression: true,
	}
	return &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		return checkURL(r.URL)
	}}
}

// A source is a file on a server from some byte on.
type source struct {
	io.ReadCloser
	name string // what the server or the URL calls it
	size int64  // of the whole; -1 if it is not known
	tag  string // a strong ETag
}

// open asks for a file from a byte on.
func (f *Fetch) open(ctx context.Context, client *http.Client, from *url.URL, offset int64, tag string) (*source, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "gonet-drive")
	if offset > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		if tag != "" {
			r.Header.Set("If-Range", tag)
		}
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	s := &source{ReadCloser: answer.Body, name: nameOf(answer), size: answer.ContentLength, tag: answer.Header.Get("ETag")}
	if strings.HasPrefix(s.tag, "W/") {
		s.tag = ""
	}
	switch {
	case answer.StatusCode == http.StatusOK && offset == 0:
		return s, nil
	case answer.StatusCode == http.StatusPartialContent && offset > 0:
		start, size, ok := contentRange(answer.Header.Get("Content-Range"))
		if ok && start == offset {
			s.size = size
			return s, nil
		}
		err = errors.New("the server sent another range than was asked for")
	case answer.StatusCode == http.StatusOK:
		err = errors.New("the server cannot go on where it broke off, or has another file now")
	default:
		err = fmt.Errorf("the server answered %s", answer.Status)
	}
	answer.Body.Close()
	return nil, err
}

// contentRange takes "bytes 5-9/10" apart (RFC 9110, section 14.4): a range up to the end.
func contentRange(s string) (start, size int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, whole, ok2 := strings.Cut(s, "/")
	first, last, ok3 := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	end, err2 := strconv.ParseInt(last, 10, 64)
	size, err3 := strconv.ParseInt(whole, 10, 64)
	return start, size, ok && ok2 && ok3 && err == nil && err2 == nil && err3 == nil && 0 <= start && start <= end && end == size-1
}

// nameOf is the name that a server gives to a file.
func nameOf(answer *http.Response) string {
	if _, p, err := mime.ParseMediaType(answer.Header.Get("Content-Disposition")); err == nil && p["filename"] != "" {
		return path.Base(p["filename"])
	}
	return path.Base(answer.Request.URL.Path)
}

// A fetching is a fetch under way.
type fetching struct {
	fetch   *Fetch
	client  *http.Client
	url     *url.URL
	source  *source
	upload  imagestore.Upload
	packing string
	idle    time.Duration
	stop    context.CancelFunc // has it end
	report  func(name string, size, written int64)
	last    time.Time // of a report
}

// writeRemote fetches an image.
func (s *Server) writeRemote(r *request) (any, error) {
	from, err := url.Parse(r.names["url"])
	if err == nil {
		err = checkURL(from)
	}
	if err != nil {
		return nil, badField("url", "%v", err)
	}
	timeout := 10 * time.Second
	if t, ok := r.times["timeout"]; ok {
		timeout = time.Duration(t * float64(time.Second))
	}
	f := &fetching{fetch: &s.config.Fetch, client: s.config.Fetch.Client(r.flags["insecure"], timeout), url: from, packing: r.names["compressed"], idle: s.config.Idle}
	packed := f.packing != "" && f.packing != "none"
	if r.has("image") || r.flags["resume"] {
		if f.upload, err = uploadOf(r); err != nil {
			return nil, err
		}
	}
	if r.flags["resume"] {
		if packed {
			return nil, badField("resume", "what is unpacked on the way cannot go on in the middle")
		}
		f.upload.Resume = true
		state, _ := s.config.Store.State()
		f.upload.Offset = state.Uploads[f.upload.Name].Done
	}
	leave, err := s.unpacks(f.packing)
	if err != nil {
		return nil, err
	}
	ctx := r.context()
	if r.flags["background"] {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, f.stop = context.WithCancel(ctx)
	end := func() {
		f.stop()
		leave()
	}
	if f.source, err = f.fetch.open(ctx, f.client, from, f.upload.Offset, ""); err != nil {
		end()
		return nil, fmt.Errorf("%w: %w", drive.ErrRemote, err)
	}
	if f.upload.Name == "" {
		if f.upload.Name, err = cleanName("image", r.query.Get("prefix")+"/"+f.source.name); err == nil {
			f.upload.SHA256, f.upload.RemoveIncomplete = r.names["sha256"], r.flags["remove_incomplete"]
		}
	}
	f.upload.Size = f.source.size
	if packed {
		f.upload.Size = -1
	}
	var w *imagestore.Writer
	if err == nil {
		w, err = s.config.Store.Write(ctx, f.upload)
	}
	if err != nil {
		end()
		f.source.Close()
		return nil, err
	}
	if r.flags["background"] {
		return s.fetchInBackground(ctx, end, r, f, w)
	}
	defer end()
	return streamed{}, f.stream(ctx, r, w)
}

// fetchInBackground makes a job of a fetch.
func (s *Server) fetchInBackground(ctx context.Context, end func(), r *request, f *fetching, w *imagestore.Writer) (any, error) {
	b, err := s.jobs.start(r.user, "fetch", f.upload.Name, func(ended context.Context, b *job) error {
		defer end()
		defer context.AfterFunc(ended, f.stop)()
		b.size.Store(f.upload.Size)
		f.report = func(_ string, _, written int64) { b.done.Store(written) }
		return f.run(ctx, w)
	})
	if err != nil {
		end()
		f.source.Close()
		return nil, errors.Join(err, w.Close())
	}
	return map[string]any{"job": b.number}, nil
}

// stream fetches and reports to the client: lines of JSON, the last of them with the error
// if there is one.
func (f *fetching) stream(ctx context.Context, r *request, w *imagestore.Writer) error {
	h := r.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	control := http.NewResponseController(r.w)
	line := func(ok bool, result any) {
		text, _ := json.Marshal(envelope{ok, result})
		control.SetWriteDeadline(time.Now().Add(f.idle))
		r.w.Write(append(text, '\r', '\n'))
		control.Flush()
	}
	f.report = func(name string, size, written int64) { line(true, makeWritten(name, size, written)) }
	f.report(f.upload.Name, f.upload.Size, w.Offset())
	err := f.run(ctx, w)
	size := f.upload.Size
	if size < 0 && err == nil {
		size = w.Offset()
	}
	f.report(f.upload.Name, size, w.Offset())
	if err != nil {
		line(false, failure(err))
	}
	return err
}

// run fetches all, over several connections if one breaks off, and ends the upload.
func (f *fetching) run(ctx context.Context, w *imagestore.Writer) error {
	attempts, pause := f.fetch.Attempts, f.fetch.Pause
	if attempts <= 0 {
		attempts = 5
	}
	if pause <= 0 {
		pause = time.Second
	}
	var err error
	for n := 1; ; n++ {
		if err = f.copy(ctx, w); err == nil {
			err = w.Finish()
			break
		}
		f.source.Close()
		var broken *brokenOff
		if !errors.As(err, &broken) || n >= attempts || f.upload.Size < 0 || ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		next, e := f.fetch.open(ctx, f.client, f.url, w.Offset(), f.source.tag)
		if e == nil && next.size != f.upload.Size {
			next.Close()
			e = errors.New("the server has another file now")
		}
		if e != nil {
			err = fmt.Errorf("%w: %w", drive.ErrRemote, e)
			break
		}
		f.source = next
	}
	f.source.Close()
	return errors.Join(err, w.Close())
}

// brokenOff is the error of a source that has ended too early.
type brokenOff struct{ err error }

func (e *brokenOff) Error() string { return "the server has broken off: " + e.err.Error() }
func (e *brokenOff) Unwrap() error { return drive.ErrRemote }

// copy writes what one connection gives.
func (f *fetching) copy(ctx context.Context, w *imagestore.Writer) error {
	body, _, err := unpack(f.source, f.packing)
	if err != nil {
		return &brokenOff{err}
	}
	defer body.Close()
	stalled := time.AfterFunc(f.idle, func() { f.source.Close() })
	defer stalled.Stop()
	buf := make([]byte, copySize)
	for {
		n, err := body.Read(buf)
		stalled.Reset(f.idle)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if now := time.Now(); now.Sub(f.last) >= time.Second {
			f.last = now
			f.report(f.upload.Name, f.upload.Size, w.Offset())
		}
		if err == io.EOF && (f.upload.Size < 0 || w.Offset() == f.upload.Size) {
			return nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return &brokenOff{err}
		}
	}
}

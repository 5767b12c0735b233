package httpdisk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/storage/block"
)

// request asks for the bytes from lo up to hi, that one included.
func (d *Disk) request(ctx context.Context, lo, hi int64) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, final{err}
	}
	for name, values := range d.config.Header {
		r.Header[name] = values
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", lo, hi))
	r.Header.Set("Accept-Encoding", "identity") // ranges are of what is sent
	if v := d.etag + d.date; v != "" {
		r.Header.Set("If-Range", v) // RFC 9110, section 13.1.5
	}
	return d.config.Client.Do(r)
}

// drain ends a response so that its connection can be used again.
func drain(r *http.Response) {
	io.CopyN(io.Discard, r.Body, 4096)
	r.Body.Close()
}

// first asks for one byte, and learns the size and the version.
func (d *Disk) first(ctx context.Context) error {
	r, err := d.request(ctx, 0, 0)
	if err != nil {
		return err
	}
	defer drain(r)
	switch r.StatusCode {
	case http.StatusPartialContent:
		var lo, hi int64
		if lo, hi, d.size, err = contentRange(r.Header.Get("Content-Range")); err != nil || lo != 0 || hi != 0 {
			return final{fmt.Errorf("httpdisk: the server answers with the range %q to bytes=0-0 (%v)", r.Header.Get("Content-Range"), err)}
		}
	case http.StatusRequestedRangeNotSatisfiable:
		// As it must be for an empty file, section 14.4.
		if r.Header.Get("Content-Range") != "bytes */0" {
			return final{fmt.Errorf("httpdisk: the server refuses the first byte: %s", r.Status)}
		}
		d.size = 0
	case http.StatusOK:
		return final{ErrNoRanges}
	default:
		return status(r)
	}
	// A weak ETag does not promise that the bytes are the same.
	if tag := r.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		d.etag = tag
	} else {
		d.date = r.Header.Get("Last-Modified")
	}
	return nil
}

// status is the error of a response that is none that was asked for.
func status(r *http.Response) error {
	err := fmt.Errorf("httpdisk: %s", r.Status)
	switch {
	case r.StatusCode >= 500, r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout:
		return err
	}
	return final{err}
}

// fetch reads block i from the server.
func (d *Disk) fetch(i int64) (p []byte, err error) {
	lo := i * int64(d.config.Block)
	hi := min(lo+int64(d.config.Block), d.size) - 1
	p = make([]byte, hi-lo+1)
	err = d.retry(d.ctx, func(ctx context.Context) error { return d.fetchOnce(ctx, p, lo, hi) })
	if d.ctx.Err() != nil {
		return nil, block.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	d.bytes.Add(int64(len(p)))
	return p, nil
}

func (d *Disk) fetchOnce(ctx context.Context, p []byte, lo, hi int64) error {
	r, err := d.request(ctx, lo, hi)
	if err != nil {
		return err
	}
	defer drain(r)
	switch r.StatusCode {
	case http.StatusPartialContent:
	case http.StatusOK, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return final{ErrChanged}
	default:
		return status(r)
	}
	text := r.Header.Get("Content-Range")
	gotLo, gotHi, size, err := contentRange(text)
	if err != nil || gotLo != lo || gotHi != hi && size == d.size {
		return final{fmt.Errorf("httpdisk: the server answers with the range %q to bytes=%d-%d", text, lo, hi)}
	}
	if tag := r.Header.Get("ETag"); size != d.size || d.etag != "" && tag != "" && tag != d.etag {
		return final{ErrChanged}
	}
	if d.date != "" && r.Header.Get("Last-Modified") != "" && r.Header.Get("Last-Modified") != d.date {
		return final{ErrChanged}
	}
	if _, err := io.ReadFull(r.Body, p); err != nil {
		return fmt.Errorf("httpdisk: the body ends early: %w", err)
	}
	return nil
}

var errContentRange = errors.New("want bytes FIRST-LAST/LENGTH")

// contentRange reads the header of that name, of one range and a known length (RFC
// 9110, section 14.4).
func contentRange(s string) (lo, hi, size int64, err error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, length, ok2 := strings.Cut(rest, "/")
	first, last, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, errContentRange
	}
	for to, text := range map[*int64]string{&lo: first, &hi: last, &size: length} {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return 0, 0, 0, errContentRange
		}
		*to = int64(n)
	}
	if hi < lo || hi >= size {
		return 0, 0, 0, errContentRange
	}
	return lo, hi, size, nil
}

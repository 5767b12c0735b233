package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// objects is what of a bucket a disk needs. Errors are errNotFound, errCondition, or
// others, after which it is not known whether the call has done anything.
type objects interface {
	// get reads an object of at most limit bytes.
	get(ctx context.Context, key string, limit int64) (object, error)
	// put writes an object: with etag only if the object has that one now, with etag
	// absent only if there is none.
	put(ctx context.Context, key string, data []byte, etag string) (newETag string, err error)
	remove(ctx context.Context, key string) error
	// list returns some names that begin with prefix and come after that one, in their
	// order; none where there are no more.
	list(ctx context.Context, prefix, after string) ([]string, error)
}

// An object is what get returns. Its age is by the server's clock.
type object struct {
	data   []byte
	etag   string
	age    time.Duration
	sealed bool // the server encrypts it with a key of somebody's: its ETag is no checksum
}

const (
	anyETag = ""
	absent  = "*"
)

var (
	errNotFound  = errors.New("there is no such object")
	errCondition = errors.New("the object is another one by now")
	errRefused   = errors.New("the server refuses")
)

// A bucket is objects of an S3 server.
type bucket struct {
	core minio.Core
	name string
}

// explain translates an error of the client.
func explain(err error) error {
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return err
	}
	switch {
	case r.Code == "NoSuchKey":
		return fmt.Errorf("%w (%v)", errNotFound, err)
	case r.StatusCode == http.StatusPreconditionFailed, r.StatusCode == http.StatusConflict && r.Code == "ConditionalRequestConflict":
		return fmt.Errorf("%w (%v)", errCondition, err)
	case r.StatusCode == http.StatusRequestTimeout, r.StatusCode == http.StatusTooManyRequests:
	case r.StatusCode >= 400 && r.StatusCode < 500:
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

func (b *bucket) get(ctx context.Context, key string, limit int64) (o object, err error) {
	body, info, header, err := b.core.GetObject(ctx, b.name, key, minio.GetObjectOptions{})
	if err != nil {
		return o, explain(err)
	}
	defer body.Close()
	if info.Size > limit {
		return o, fmt.Errorf("s3: the object %s has %d bytes, more than %d", key, info.Size, limit)
	}
	o.data = make([]byte, max(info.Size, 0))
	if _, err := io.ReadFull(body, o.data); err != nil {
		return o, fmt.Errorf("s3: the object %s ends early: %w", key, err)
	}
	o.etag = info.ETag
	o.sealed = strings.HasPrefix(header.Get("X-Amz-Server-Side-Encryption"), "aws:kms") || header.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != ""
	// Both are the server's: our clock does not matter.
	if now, err := http.ParseTime(header.Get("Date")); err == nil && !info.LastModified.IsZero() {
		o.age = now.Sub(info.LastModified)
	}
	return o, nil
}

func (b *bucket) put(ctx context.Context, key string, data []byte, etag string) (string, error) {
	var options minio.PutObjectOptions
	switch etag {
	case anyETag:
	case absent:
		options.SetMatchETagExcept("*")
	default:
		options.SetMatchETag(etag)
	}
	sum := sha256.Sum256(data)
	body := newLent(data)
	defer body.end()
	info, err := b.core.PutObject(ctx, b.name, key, body, int64(len(data)), "", hex.EncodeToString(sum[:]), options)
	return info.ETag, explain(err)
}

func (b *bucket) remove(ctx context.Context, key string) error {
	err := explain(b.core.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

func (b *bucket) list(ctx context.Context, prefix, after string) (keys []string, err error) {
	for info := range b.core.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, StartAfter: after, MaxKeys: 1000}) {
		if info.Err != nil {
			return nil, explain(info.Err)
		}
		if keys = append(keys, info.Key); len(keys) == 1000 {
			break
		}
	}
	return keys, nil
}

// A lent is bytes that an HTTP client may read until they are taken back: it may go on
// reading, for a moment, after its call has returned.
type lent struct {
	turn chan *bytes.Reader // of capacity 1: whoever has received it reads
}

func newLent(p []byte) *lent {
	l := &lent{make(chan *bytes.Reader, 1)}
	l.turn <- bytes.NewReader(p)
	return l
}

func (l *lent) Read(p []byte) (int, error) {
	r := <-l.turn
	defer func() { l.turn <- r }()
	if r == nil {
		return 0, io.ErrClosedPipe
	}
	return r.Read(p)
}

// end takes the bytes back.
func (l *lent) end() {
	<-l.turn
	l.turn <- nil
}

// Package httpdisk has a read-only disk that is a file on a web server, read by
// range requests (RFC 9110, section 14). Blocks are cached, several requests are
// under way at the same time, and what will be read next is fetched ahead.
//
// The file must not change. Each request says which version it wants by If-Range,
// with the ETag or the date of the first answer, and what comes of another version
// is an error, never mixed with the first. Where a server gives neither, only the
// length is looked at.
package httpdisk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Config says how a file is read. Zero values mean what is said.
type Config struct {
	Client    *http.Client  // http.DefaultClient; one with its own dialer reads over any network
	Header    http.Header   // goes with each request, for authorization
	Block     int           // bytes of a request, a power of two from 4 KB to 64 MB; 256 KB
	Cache     int64         // bytes of blocks that are kept; 64 MB
	ReadAhead int           // blocks that are fetched ahead of a reader that goes forward; 4, and -1 for none
	Parallel  int           // requests under way at the same time, at most 64; 8
	Attempts  int           // how often a request is made before a read fails; 5
	Timeout   time.Duration // of one attempt; 30 s
	Rand      rand.Source   // of the pauses between attempts
}

// Errors of opening and reading.
var (
	// ErrChanged says that the file on the server is no longer the one that was
	// opened.
	ErrChanged = fmt.Errorf("httpdisk: the file on the server has changed: %w", syscall.EIO)
	// ErrNoRanges says that the server sends whole files only.
	ErrNoRanges = fmt.Errorf("httpdisk: the server does not do range requests: %w", syscall.EOPNOTSUPP)
)

// Stats counts what a Disk has done.
type Stats struct {
	Requests int64 // attempts, also those that failed
	Retries  int64
	Bytes    int64 // of bodies that were received whole
	Hits     int64 // reads of blocks that were there, or on the way
	Misses   int64
}

// Disk is the disk. It is a [block.Device], with contexts.
type Disk struct {
	url    string
	config Config
	size   int64
	etag   string // strong, or empty
	date   string // Last-Modified, where there is no etag

	ctx    context.Context // of all requests, until Close
	cancel context.CancelFunc
	loads  sync.WaitGroup
	slots  chan struct{} // one is held for each request under way
	cache  chan *cache   // whoever has received it owns it
	random chan *rand.Rand

	requests, retries, bytes, hits, misses atomic.Int64
}

func (c Config) withDefaults() (Config, error) {
	if c.Client == nil {
		c.Client = http.DefaultClient
	}
	if c.Block == 0 {
		c.Block = 256 << 10
	}
	if c.Block < 4<<10 || c.Block > 64<<20 || c.Block&(c.Block-1) != 0 {
		return c, fmt.Errorf("httpdisk: a block of %d bytes, which must be a power of two from 4 KB to 64 MB", c.Block)
	}
	if c.Cache == 0 {
		c.Cache = 64 << 20
	}
	switch {
	case c.ReadAhead == 0:
		c.ReadAhead = 4
	case c.ReadAhead < 0:
		c.ReadAhead = 0
	}
	if c.Parallel == 0 {
		c.Parallel = 8
	}
	c.Parallel = min(max(c.Parallel, 1), 64)
	if c.Attempts == 0 {
		c.Attempts = 5
	}
	c.Attempts = max(c.Attempts, 1)
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Rand == nil {
		c.Rand = rand.NewPCG(uint64(time.Now().UnixNano()), 0)
	}
	return c, nil
}

// Open asks the server for the size and the version of the file. The context is of
// that request only.
func Open(ctx context.Context, url string, c Config) (*Disk, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Disk{
		url: url, config: c,
		slots:  make(chan struct{}, c.Parallel),
		cache:  make(chan *cache, 1),
		random: make(chan *rand.Rand, 1),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.cache <- newCache(max(int(c.Cache/int64(c.Block)), 2*c.Parallel))
	d.random <- rand.New(c.Rand)
	if err := d.retry(ctx, func(ctx context.Context) error { return d.first(ctx) }); err != nil {
		d.cancel()
		return nil, err
	}
	return d, nil
}

// Size is the length of the file.
func (d *Disk) Size() (int64, error) { return d.size, nil }

// ReadOnly is true.
func (d *Disk) ReadOnly() bool { return true }

// BlockSizes prefers whole blocks.
func (d *Disk) BlockSizes() block.BlockSizes { return block.BlockSizes{Preferred: d.config.Block} }

// WriteAt fails with ErrReadOnly.
func (d *Disk) WriteAt([]byte, int64) (int, error) { return 0, block.ErrReadOnly }

// WriteAtContext fails with ErrReadOnly.
func (d *Disk) WriteAtContext(context.Context, []byte, int64, bool) (int, error) {
	return 0, block.ErrReadOnly
}

// Sync does nothing.
func (d *Disk) Sync() error { return nil }

// SyncContext does nothing.
func (d *Disk) SyncContext(ctx context.Context) error { return ctx.Err() }

// Stats returns the counts up to now.
func (d *Disk) Stats() Stats {
	return Stats{d.requests.Load(), d.retries.Load(), d.bytes.Load(), d.hits.Load(), d.misses.Load()}
}

// Close ends all requests, waits for them, and forgets what is cached.
func (d *Disk) Close() error {
	c := <-d.cache
	c.closed = true
	d.cache <- c
	d.cancel()
	d.loads.Wait()
	c = <-d.cache
	clear(c.blocks)
	d.cache <- c
	return nil
}

// ReadAt is ReadAtContext without a context.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	return d.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext reads len(p) bytes at off.
func (d *Disk) ReadAtContext(ctx context.Context, p []byte, off int64) (n int, err error) {
	if off < 0 || off > d.size || int64(len(p)) > d.size-off {
		return 0, block.ErrRange
	}
	unit := int64(d.config.Block)
	last := (off + int64(len(p)) - 1) / unit
	for n < len(p) {
		i := (off + int64(n)) / unit
		b, err := d.get(ctx, i, last)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[off+int64(n)-i*unit:])
	}
	return n, nil
}

// Prefetch begins to fetch the range, as far as requests are free.
func (d *Disk) Prefetch(off, length int64) error {
	if off < 0 || length < 0 || off > d.size || length > d.size-off {
		return block.ErrRange
	}
	unit := int64(d.config.Block)
	d.ahead(off/unit, (off+length+unit-1)/unit)
	return nil
}

// get returns block i. Those of the same read, up to last, are fetched too.
func (d *Disk) get(ctx context.Context, i, last int64) ([]byte, error) {
	b, err := d.find(ctx, i)
	if err != nil {
		return nil, err
	}
	c := <-d.cache
	forward := i == c.latest+1 || i == c.latest
	c.latest = i
	d.cache <- c
	if end := last + 1; forward {
		d.ahead(i+1, max(end, i+1+int64(d.config.ReadAhead)))
	} else {
		d.ahead(i+1, end)
	}
	select {
	case <-b.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if b.err == block.ErrClosed {
		return nil, b.err
	}
	if b.err != nil {
		return nil, &block.MediumError{Op: "read", Off: i * int64(d.config.Block), Err: b.err}
	}
	return b.bytes, nil
}

// find returns block i of the cache, perhaps still on the way.
func (d *Disk) find(ctx context.Context, i int64) (*cached, error) {
	c := <-d.cache
	b, closed := c.find(i), c.closed
	d.cache <- c
	if closed {
		return nil, block.ErrClosed
	}
	if b != nil {
		d.hits.Add(1)
		return b, nil
	}
	d.misses.Add(1)
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-d.ctx.Done():
		return nil, block.ErrClosed
	}
	return d.load(i)
}

// ahead begins to fetch the blocks from first up to end that are not there, while
// requests are free.
func (d *Disk) ahead(first, end int64) {
	unit := int64(d.config.Block)
	end = min(end, (d.size+unit-1)/unit, first+int64(d.config.Parallel))
	for i := first; i < end; i++ {
		c := <-d.cache
		there := c.blocks[i] != nil
		d.cache <- c
		if there {
			continue
		}
		select {
		case d.slots <- struct{}{}:
			d.load(i) // which fails only if the disk is closed
		default:
			return
		}
	}
}

// load begins to fetch block i, unless it is there. The caller holds a slot, which
// goes to the request.
func (d *Disk) load(i int64) (*cached, error) {
	c := <-d.cache
	defer func() { d.cache <- c }()
	if c.closed {
		<-d.slots
		return nil, block.ErrClosed
	}
	if b := c.find(i); b != nil {
		<-d.slots
		return b, nil
	}
	b := c.add(i)
	d.loads.Go(func() {
		b.bytes, b.err = d.fetch(i)
		<-d.slots
		if b.err != nil { // the next reader tries anew
			c := <-d.cache
			c.remove(i)
			d.cache <- c
		}
		close(b.ready)
	})
	return b, nil
}

// pause is how long to wait before attempt number n, from 1 on: twice as long each
// time, up to 5 s, and between half of that and all of it.
func (d *Disk) pause(n int) time.Duration {
	longest := min(100*time.Millisecond<<min(n-1, 10), 5*time.Second)
	r := <-d.random
	defer func() { d.random <- r }()
	return longest/2 + time.Duration(r.Int64N(int64(longest/2)))
}

// A final error is one that another attempt would not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// retry calls f until it succeeds, fails for good, or has been called often enough.
func (d *Disk) retry(ctx context.Context, f func(ctx context.Context) error) error {
	for n := 1; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, d.config.Timeout)
		d.requests.Add(1)
		err := f(attempt)
		cancel()
		var isFinal final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &isFinal):
			return isFinal.error
		case ctx.Err() != nil:
			return ctx.Err()
		case n == d.config.Attempts:
			return fmt.Errorf("httpdisk: %d attempts: %w", n, err)
		}
		d.retries.Add(1)
		t := time.NewTimer(d.pause(n))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

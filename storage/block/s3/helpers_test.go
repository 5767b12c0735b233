package s3

import (
	"context"
	"crypto/md5"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A memory is objects in memory. Before, if it is not nil, is called before each call,
// and after it, with what it returned; an error is what the call returns.
type memory struct {
	mu      sync.Mutex
	objects map[string]stored
	puts    int
	before  func(what, key string) error
	after   func(what, key string) error
}

type stored struct {
	data []byte
	etag string
	at   time.Time
}

func newMemory() *memory { return &memory{objects: map[string]stored{}} }

// set changes the hooks.
func (m *memory) set(before, after func(what, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before, m.after = before, after
}

// hooks are as they are now, or do nothing.
func (m *memory) hooks() (before, after func(what, key string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, after = m.before, m.after
	nothing := func(string, string) error { return nil }
	if before == nil {
		before = nothing
	}
	if after == nil {
		after = nothing
	}
	return before, after
}

func (m *memory) call(ctx context.Context, what, key string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	before, after := m.hooks()
	if err := before(what, key); err != nil {
		return err
	}
	m.mu.Lock()
	err := f()
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return after(what, key)
}

func (m *memory) get(ctx context.Context, key string, limit int64) (o object, err error) {
	err = m.call(ctx, "get", key, func() error {
		s, ok := m.objects[key]
		if !ok {
			return fmt.Errorf("%s: %w", key, errNotFound)
		}
		o = object{data: slices.Clone(s.data), etag: s.etag, age: time.Since(s.at)}
		return nil
	})
	return o, err
}

func (m *memory) put(ctx context.Context, key string, data []byte, etag string) (got string, err error) {
	data = slices.Clone(data)
	err = m.call(ctx, "put", key, func() error {
		if have, ok := m.objects[key]; etag == absent && ok || etag != anyETag && etag != absent && have.etag != etag {
			return errCondition
		}
		m.puts++
		got = fmt.Sprintf("%x", md5.Sum(data))
		m.objects[key] = stored{data, got, time.Now()}
		return nil
	})
	return got, err
}

func (m *memory) remove(ctx context.Context, key string) error {
	return m.call(ctx, "remove", key, func() error {
		delete(m.objects, key)
		return nil
	})
}

func (m *memory) list(ctx context.Context, prefix, after string) (keys []string, err error) {
	err = m.call(ctx, "list", prefix, func() error {
		for _, key := range slices.Sorted(maps.Keys(m.objects)) {
			if strings.HasPrefix(key, prefix) && key > after && len(keys) < 10 {
				keys = append(keys, key)
			}
		}
		return nil
	})
	return keys, err
}

// small is a disk of 1 MB in small chunks, with a small cache.
func small() Config {
	return Config{Name: "disk", Create: true, Size: 1 << 20, Chunk: 16 << 10, Cache: 16 * 16 << 10, Parallel: 4, Rand: rand.NewPCG(1, 1)}
}

// mustOpen opens a disk, which is stopped, not closed, at the end.
func mustOpen(t testing.TB, o objects, c Config) *Disk {
	t.Helper()
	d, err := tryOpen(o, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	return d
}

func tryOpen(o objects, c Config) (*Disk, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	return open(context.Background(), o, c)
}

// journalOf is an empty journal that is large enough for small.
func journalOf(size int64) block.Device { return block.NewMemory(size) }

package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestOneWriter has many open a disk at the same time: one does, the others are told.
func TestOneWriter(t *testing.T) {
	for round := range 20 {
		m := newMemory()
		var wg sync.WaitGroup
		var winners atomic.Int64
		for i := range 6 {
			wg.Go(func() {
				c := small()
				c.Owner = fmt.Sprint("writer ", i)
				c.Rand = rand.NewPCG(uint64(round), uint64(i))
				d, err := tryOpen(m, c)
				if err == nil {
					winners.Add(1)
					t.Cleanup(d.stop)
				} else if !errors.Is(err, ErrHeld) || !errors.Is(err, block.ErrInUse) {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if n := winners.Load(); n != 1 {
			t.Fatalf("%d have opened the disk", n)
		}
	}
}

// A torn bucket looks up an object and its ETag one after the other, and between is
// called meanwhile, once. So many more reads after it find the object still the old one.
type torn struct {
	objects
	between func()
	more    int
	old     object
}

func (t *torn) get(ctx context.Context, key string, limit int64) (object, error) {
	first, err := t.objects.get(ctx, key, limit)
	switch {
	case err != nil || key != manifestKey(small().Name):
		return first, err
	case t.between != nil:
		between := t.between
		t.between = nil
		between()
		t.old = first
	case t.more > 0:
		t.more--
	default:
		return first, err
	}
	second, err := t.objects.get(ctx, key, limit)
	t.old.etag = second.etag
	return t.old, err
}

// TestTornManifest has another writer take the disk between the manifest, which names
// none, and its ETag; the server takes a while until both are of the same.
func TestTornManifest(t *testing.T) {
	for _, more := range []int{0, 1, 2, 9} {
		synctest.Test(t, func(t *testing.T) { testTornManifest(t, more) })
	}
}

func testTornManifest(t *testing.T, more int) {
	m := newMemory()
	d, err := tryOpen(m, small())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var first *Disk
	second, err := tryOpen(&torn{objects: m, between: func() { first = mustOpen(t, m, small()) }, more: more}, small())
	if !errors.Is(err, ErrHeld) {
		t.Errorf("a second writer, torn %d times: %v", more+1, err)
	}
	if err == nil {
		second.stop()
	}
	if _, err := first.WriteAt([]byte("mine"), 0); err != nil {
		t.Error(err)
	}
	if err := first.Sync(); err != nil {
		t.Error(err)
	}
}

// A sealing bucket has ETags that look like MD5, and are not: it encrypts.
type sealing struct {
	objects
	says bool // that it does
}

func (s *sealing) get(ctx context.Context, key string, limit int64) (object, error) {
	o, err := s.objects.get(ctx, key, limit)
	o.etag, o.sealed = reverse(o.etag), s.says
	return o, err
}

func (s *sealing) put(ctx context.Context, key string, data []byte, etag string) (string, error) {
	if etag != anyETag && etag != absent {
		etag = reverse(etag)
	}
	got, err := s.objects.put(ctx, key, data, etag)
	return reverse(got), err
}

func reverse(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// TestSealed opens disks in a bucket that encrypts: at once if it says so, and after some
// seconds if it does not.
func TestSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, says := range []bool{true, false} {
			b, began := &sealing{newMemory(), says}, time.Now()
			for range 2 {
				d, err := tryOpen(b, small())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.WriteAt([]byte("x"), 0); err != nil {
					t.Error(err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
			if took := time.Since(began); says && took > 0 || !says && (took == 0 || took > 30*time.Second) {
				t.Errorf("says %v: %v", says, took)
			}
		}
	})
}

// TestLease refuses a second writer as long as the first one lives, however long it
// does nothing, and for a while after that.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newMemory(), small()
		c.Owner = "the first"
		d, err := tryOpen(m, c)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			time.Sleep(10 * time.Minute)
			if _, err := tryOpen(m, small()); !errors.Is(err, ErrHeld) || !bytes.Contains([]byte(err.Error()), []byte("the first")) {
				t.Fatalf("a second writer: %v", err)
			}
		}
		d.WriteAt([]byte("kept"), 0)
		d.Sync()
		d.WriteAt([]byte("lost"), 0)
		d.stop()
		if _, err := tryOpen(m, small()); !errors.Is(err, ErrHeld) {
			t.Fatalf("a second writer, at once: %v", err)
		}
		time.Sleep(2 * time.Minute)
		d, err = tryOpen(m, small()) // there was no journal: nothing was promised
		if err != nil {
			t.Fatal(err)
		}
		defer d.stop()
		p := make([]byte, 4)
		if _, err := d.ReadAt(p, 0); err != nil || string(p) != "kept" {
			t.Errorf("%q, %v", p, err)
		}
	})
}

// A distant bucket is one to which requests take as long as the test wants: they are
// held up, not lost.
type distant struct {
	objects
	arrive atomic.Pointer[chan struct{}]
}

func (d *distant) wait() {
	if c := d.arrive.Load(); c != nil {
		<-*c
	}
}

func (d *distant) get(ctx context.Context, key string, limit int64) (object, error) {
	d.wait()
	return d.objects.get(ctx, key, limit)
}

func (d *distant) put(_ context.Context, key string, data []byte, etag string) (string, error) {
	data = bytes.Clone(data)
	d.wait()
	return d.objects.put(context.Background(), key, data, etag)
}

func (d *distant) remove(_ context.Context, key string) error {
	d.wait()
	return d.objects.remove(context.Background(), key)
}

// TestTakeOver has the disk of a writer that does not answer taken over. When what the
// first writer has sent arrives at last, it changes nothing, and the first writer is
// told, whatever it does.
func TestTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newMemory(), small()
		c.Journal = journalOf(1 << 20)
		far := &distant{objects: m}
		first, err := tryOpen(far, c)
		if err != nil {
			t.Fatal(err)
		}
		defer first.stop()
		write := func(d *Disk, text string) {
			t.Helper()
			for i := range int64(3) {
				if _, err := d.WriteAtFUA([]byte(text), i*c.Size/4); err != nil {
					t.Fatal(err)
				}
			}
		}
		write(first, "the first")
		if err := first.Upload(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		arrive := make(chan struct{})
		far.arrive.Store(&arrive)
		write(first, "FROM AFAR")
		time.Sleep(2 * time.Minute)

		if _, err := tryOpen(m, small()); !errors.Is(err, ErrNotClosed) {
			t.Fatalf("a second writer that knows nothing of the journal: %v", err)
		}
		c2 := small()
		c2.TakeOver, c2.Owner = true, "the second"
		second, err := tryOpen(m, c2)
		if err != nil {
			t.Fatal(err)
		}
		defer second.stop()
		expect := func(d *Disk, want string) {
			t.Helper()
			p := make([]byte, len(want))
			for i := range int64(3) {
				if _, err := d.ReadAt(p, i*c.Size/4); err != nil || string(p) != want {
					t.Errorf("%q, %v, want %q", p, err, want)
				}
			}
		}
		expect(second, "the first")
		write(second, "the other")

		close(arrive)
		time.Sleep(time.Minute)
		_, readErr := first.ReadAt(make([]byte, 10), 0)
		_, writeErr := first.WriteAt(make([]byte, 10), 0)
		for what, err := range map[string]error{
			"read": readErr, "write": writeErr, "sync": first.Sync(), "trim": first.Trim(0, c.Size), "close": first.Close(),
		} {
			if !errors.Is(err, ErrLost) || !bytes.Contains([]byte(err.Error()), []byte("the second")) {
				t.Errorf("%s by the first writer: %v", what, err)
			}
		}
		expect(second, "the other")
		if err := second.Close(); err != nil {
			t.Error(err)
		}
		r := small()
		r.ReadOnly = true
		expect(mustOpen(t, m, r), "the other")

		c.TakeOver = true // which does not give up a journal that has something
		if _, err := tryOpen(m, c); !errors.Is(err, ErrJournal) {
			t.Errorf("the first writer's journal: %v", err)
		}
	})
}

// TestSweep finds what a writer has left that came to a sudden end.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, c := newMemory(), small()
		c.Journal = journalOf(1 << 20)
		d, err := tryOpen(m, c)
		if err != nil {
			t.Fatal(err)
		}
		p := bytes.Repeat([]byte{1}, c.Chunk*4)
		d.WriteAt(p, 0)
		d.Upload(t.Context(), nil)
		m.set(func(what, key string) error { // it uploads chunks, publishes nothing and deletes nothing
			if key == manifestKey(c.Name) || what == "remove" {
				return errors.New("no")
			}
			return nil
		}, nil)
		d.WriteAtFUA(bytes.Repeat([]byte{2}, c.Chunk*4), 0)
		time.Sleep(10 * time.Second)
		d.stop()
		m.set(nil, nil)
		if n := len(m.objects); n != 11 { // the manifest, four chunks and a page, twice
			t.Fatalf("%d objects", n)
		}
		if d, err = tryOpen(m, c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s := d.Stats(); s.Swept < 4 || s.Garbage > 0 {
			t.Errorf("%+v", s)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(m.objects); n != 6 {
			t.Errorf("%d objects are left", n)
		}
		d = mustOpen(t, m, small())
		if err := d.Trim(0, c.Size); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(m.objects); n != 1 {
			t.Errorf("%d objects of a disk of zeroes", n)
		}
	})
}

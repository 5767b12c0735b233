package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
	"github.com/seed-012105e5/gonet/storage/block/filter"
)

// A machine is what the power goes from: a disk with its journal. The bucket stays.
type machine struct {
	bucket *memory
	disk   atomic.Pointer[Disk]
	power  *filter.Volatile
	off    atomic.Bool
}

var errPower = errors.New("the power is off")

// arm has the power go at the n-th call of the bucket from now, before it or after it.
func (m *machine) arm(n int, after bool, seed uint64) {
	var calls atomic.Int64
	hook := func(counts bool) func(what, key string) error {
		return func(what, key string) error {
			if counts && calls.Add(1) == int64(n) {
				m.off.Store(true)
				m.power.Cut(seed)
			}
			if m.off.Load() {
				if d := m.disk.Load(); d != nil {
					d.cancel()
				}
				return errPower
			}
			return nil
		}
	}
	m.bucket.set(hook(!after), hook(after))
}

// TestPowerCuts cuts the power at random instants, those of the journal and those of
// the bucket, and looks whether what was acknowledged is there.
func TestPowerCuts(t *testing.T) {
	for name, journal := range map[string]int64{"long": 1 << 20, "short": 2*smallestArea + journalHeader} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := blocktest.Cuts{Size: 1 << 20, Store: journal, Rounds: 150, Lives: 5, Seed: uint64(journal)}
			r := rand.New(rand.NewPCG(c.Seed, 7))
			round := 0
			var m *machine
			blocktest.TestPowerCuts(t, c, func(store block.Device) (block.Device, error) {
				m.stop() // what ran on is not there any more
				if round%c.Lives == 0 {
					m = &machine{bucket: newMemory()}
				}
				round++
				m.disk.Store(nil)
				m.power = store.(*filter.Volatile)
				m.off.Store(false)
				if r.IntN(2) == 0 {
					m.arm(1+r.IntN(60), r.IntN(2) == 0, r.Uint64())
				} else {
					m.arm(1<<40, false, 0)
				}
				config := small()
				config.Journal, config.Owner = store, "a machine"
				config.UploadAfter = time.Millisecond
				d, err := m.open(config)
				if err != nil {
					return nil, err
				}
				m.disk.Store(d)
				if m.off.Load() {
					d.cancel()
				}
				return d, nil
			})
			m.stop()
		})
	}
}

func (m *machine) stop() {
	if m == nil {
		return
	}
	if d := m.disk.Load(); d != nil {
		d.stop()
	}
}

// open opens the disk. Without power that fails at once.
func (m *machine) open(c Config) (*Disk, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if m.off.Load() {
					cancel()
				}
			case <-done:
				return
			}
		}
	}()
	d, err := open(ctx, m.bucket, c)
	if err != nil && m.off.Load() {
		return nil, block.ErrClosed
	}
	return d, err
}

// TestBucketIsConsistent reads, again and again, what the bucket alone has: it must be
// the disk at one instant, which no write before that misses and no later one is in.
func TestBucketIsConsistent(t *testing.T) {
	bucket := newMemory()
	bucket.before = func(what, _ string) error {
		if what == "put" {
			time.Sleep(200 * time.Microsecond)
		}
		return nil
	}
	c := small()
	c.Journal, c.UploadAfter = journalOf(1<<20), time.Millisecond
	d := mustOpen(t, bucket, c)
	// Write number n puts n at a place that it alone decides: what the places hold at an
	// instant follows from the number of the last write.
	const places = 7
	place := func(n uint64) uint64 { return n * 0x9e3779b97f4a7c15 >> 40 % places }
	write := func(n uint64) {
		p := []byte(fmt.Sprintf("%-16d", n))
		if _, err := d.WriteAt(p, int64(place(n))*(c.Size/places)); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
				write(n)
			}
		}
	})
	images, before := 0, uint64(0)
	for looked := 0; images < 40; looked++ {
		if looked == 100000 {
			t.Fatalf("of %d images, %d were different", looked, images)
		}
		r := c
		r.ReadOnly, r.Journal = true, nil
		copied := newMemory()
		bucket.mu.Lock()
		for k, v := range bucket.objects {
			copied.objects[k] = v
		}
		bucket.mu.Unlock()
		reader, err := tryOpen(copied, r)
		if err != nil {
			t.Fatal(err)
		}
		var seen, want [places]uint64
		latest := uint64(0)
		for i := range seen {
			p := make([]byte, 16)
			if _, err := reader.ReadAt(p, int64(i)*(c.Size/places)); err != nil {
				t.Fatal(err)
			}
			fmt.Sscan(string(p), &seen[i])
			latest = max(latest, seen[i])
		}
		reader.stop()
		for n := uint64(1); n <= latest; n++ {
			want[place(n)] = n
		}
		if seen != want {
			t.Fatalf("the bucket has write %d, and at the places %d; at that instant they were %d", latest, seen, want)
		}
		if latest > before {
			before = latest
			images++
		}
	}
	close(stop)
	wg.Wait()
}

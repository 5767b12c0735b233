package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// A plainDevice is a device without powers that fails where its sizes are not kept
// to.
type plainDevice struct {
	t      *testing.T
	memory *Memory
	sizes  BlockSizes
	delay  time.Duration // of each read and write

	mu     sync.Mutex
	syncs  int
	writes int
}

func (d *plainDevice) BlockSizes() BlockSizes { return d.sizes }
func (d *plainDevice) Size() (int64, error)   { return d.memory.Size() }

func (d *plainDevice) check(p []byte, off int64) {
	size := int64(max(d.sizes.Minimum, 1))
	if off%size != 0 || int64(len(p))%size != 0 {
		d.t.Errorf("%d bytes at %d are not aligned to %d", len(p), off, size)
	}
	if m := d.sizes.Maximum; m > 0 && len(p) > m {
		d.t.Errorf("%d bytes at once, of at most %d", len(p), m)
	}
	if m := d.sizes.Memory; m > 0 && uintptr(unsafe.Pointer(&p[0]))%uintptr(m) != 0 {
		d.t.Errorf("a buffer at %p, not aligned to %d", p, m)
	}
	if d.delay > 0 {
		time.Sleep(d.delay)
	}
}

func (d *plainDevice) ReadAt(p []byte, off int64) (int, error) {
	d.check(p, off)
	return d.memory.ReadAt(p, off)
}

func (d *plainDevice) WriteAt(p []byte, off int64) (int, error) {
	d.check(p, off)
	d.mu.Lock()
	d.writes++
	d.mu.Unlock()
	return d.memory.WriteAt(p, off)
}

func (d *plainDevice) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	return nil
}

// TestDiskAlignment holds what a Disk makes of random transfers, over devices of
// many block sizes, against a slice.
func TestDiskAlignment(t *testing.T) {
	for _, sizes := range []BlockSizes{
		{}, {Minimum: 1}, {Minimum: 512}, {Minimum: 512, Maximum: 512}, {Minimum: 512, Maximum: 1500},
		{Minimum: 4096, Memory: 4096}, {Memory: 512}, {Maximum: 1000}, {Minimum: 128 << 10}, {Minimum: 4096, Maximum: 1 << 20, Memory: 512},
	} {
		const size = 1 << 20
		plain := &plainDevice{t: t, memory: NewMemory(size), sizes: sizes}
		d, err := NewDisk(plain)
		if err != nil {
			t.Fatal(err)
		}
		model := make([]byte, size)
		r := rand.New(rand.NewPCG(1, 2))
		buffer := make([]byte, size+1)
		for range 500 {
			off := r.Int64N(size)
			n := r.Int64N(1 + min(size-off, []int64{10, 600, 5000, 300000}[r.IntN(4)]))
			if r.IntN(4) == 0 {
				off, n = off&^4095, n&^4095
			}
			p := buffer[r.IntN(2):][:n]
			switch r.IntN(4) {
			case 0:
				for i := range p {
					p[i] = byte(r.Uint32())
				}
				copy(model[off:], p)
				_, err = d.WriteAt(p, off)
			case 1:
				clear(model[off : off+n])
				err = d.WriteZeroes(off, n, 0)
			default:
				_, err = d.ReadAt(p, off)
				if err == nil && !bytes.Equal(p, model[off:off+n]) {
					t.Fatalf("%+v: %d bytes at %d are not what was written", sizes, n, off)
				}
			}
			if err != nil {
				t.Fatalf("%+v: %v", sizes, err)
			}
		}
	}
}

// TestDiskOverlap lets many writers at the bytes of the same blocks at once: each
// has its own bytes, and must find them.
func TestDiskOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, block = 16, 4096
		d, err := NewDisk(&plainDevice{t: t, memory: NewMemory(3 * block), sizes: BlockSizes{Minimum: block}, delay: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(3, uint64(w)))
				for range 50 {
					// The bytes whose number is w modulo writers are the writer's own.
					off := int64(w) + writers*r.Int64N(3*block/writers)
					p, got := []byte{byte(r.Uint32())}, []byte{0}
					d.WriteAt(p, off)
					if d.ReadAt(got, off); got[0] != p[0] {
						t.Errorf("writer %d reads %d at %d, and wrote %d", w, got, off, p)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestDiskWholeBlockBesideParts writes a whole block while a part of it is read,
// changed and written back: one must come after the other.
func TestDiskWholeBlockBesideParts(t *testing.T) {
	for _, wholeFirst := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			d, _ := NewDisk(&plainDevice{t: t, memory: NewMemory(512), sizes: BlockSizes{Minimum: 512}, delay: time.Millisecond})
			whole := func() { d.WriteAt(bytes.Repeat([]byte{1}, 512), 0) }
			part := func() { d.WriteAt([]byte{2}, 7) }
			first, second := whole, part
			if !wholeFirst {
				first, second = part, whole
			}
			var wg sync.WaitGroup
			wg.Go(first)
			time.Sleep(time.Microsecond)
			wg.Go(second)
			wg.Wait()
			got := make([]byte, 512)
			d.ReadAt(got, 0)
			want := bytes.Repeat([]byte{1}, 512)
			if wholeFirst {
				want[7] = 2
			}
			if !bytes.Equal(got, want) {
				t.Errorf("whole first %v: got %d", wholeFirst, got[:16])
			}
		})
	}
}

// TestDiskContext ends the wait for a block that another writes.
func TestDiskContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := NewDisk(&plainDevice{t: t, memory: NewMemory(512), sizes: BlockSizes{Minimum: 512}, delay: time.Second})
		go d.WriteAt([]byte{1}, 0)
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := d.WriteAtContext(ctx, []byte{1}, 1, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := d.WriteAt([]byte{3}, 2); err != nil {
			t.Error(err)
		}
		got := make([]byte, 3)
		if d.ReadAt(got, 0); !bytes.Equal(got, []byte{1, 0, 3}) {
			t.Errorf("got %d", got)
		}
		if n := d.writes.Len(); n != 0 {
			t.Errorf("%d writes are still under way", n)
		}
	})
}

func TestDiskEmulation(t *testing.T) {
	plain := &plainDevice{t: t, memory: NewMemory(1 << 20)}
	d, err := NewDisk(plain)
	if err != nil {
		t.Fatal(err)
	}
	if i := d.Info(); i != (Info{MultiConn: true}) {
		t.Errorf("a plain device has %+v", i)
	}
	if _, err := d.WriteAtFUA([]byte{1}, 0); err != nil || plain.syncs != 1 {
		t.Errorf("a write with FUA: %v, after %d syncs", err, plain.syncs)
	}
	if err := d.WriteZeroes(0, 1<<20, ZeroFast); !errors.Is(err, ErrNotSupported) || plain.writes != 1 {
		t.Errorf("fast zeroes: %v, %d writes", err, plain.writes)
	}
	if err := d.WriteZeroes(0, 1<<20, ZeroFUA); err != nil || plain.syncs != 2 || plain.writes != 17 {
		t.Errorf("zeroes: %v, %d writes, %d syncs", err, plain.writes, plain.syncs)
	}
	if err := d.Resize(3); !errors.Is(err, ErrNotSupported) {
		t.Error(err)
	}
	for _, err := range []error{d.Trim(0, 512), d.Prefetch(0, 512)} {
		if err != nil {
			t.Error(err)
		}
	}
	var all []Extent
	d.Extents(5, 10, func(e Extent) bool { all = append(all, e); return true })
	if len(all) != 1 || all[0] != (Extent{Off: 5, Length: 10}) {
		t.Errorf("extents %+v", all)
	}
}

// A refusingDevice has every optional power, and does nothing by any of them.
type refusingDevice struct{ plainDevice }

func (d *refusingDevice) ReadAtContext(context.Context, []byte, int64) (int, error) {
	return 0, ErrNotSupported
}
func (d *refusingDevice) WriteAtContext(context.Context, []byte, int64, bool) (int, error) {
	return 0, ErrNotSupported
}
func (d *refusingDevice) SyncContext(context.Context) error             { return ErrNotSupported }
func (d *refusingDevice) WriteAtFUA([]byte, int64) (int, error)         { return 0, ErrNotSupported }
func (d *refusingDevice) Trim(_, _ int64) error                         { return ErrNotSupported }
func (d *refusingDevice) WriteZeroes(_, _ int64, _ ZeroFlags) error     { return ErrNotSupported }
func (d *refusingDevice) Extents(_, _ int64, _ func(Extent) bool) error { return ErrNotSupported }
func (d *refusingDevice) Prefetch(_, _ int64) error                     { return ErrNotSupported }
func (d *refusingDevice) Resize(int64) error                            { return ErrNotSupported }
func (d *refusingDevice) TrimContext(context.Context, int64, int64) error {
	return ErrNotSupported
}
func (d *refusingDevice) WriteZeroesContext(context.Context, int64, int64, ZeroFlags) error {
	return ErrNotSupported
}
func (d *refusingDevice) ExtentsContext(context.Context, int64, int64, func(Extent) bool) error {
	return ErrNotSupported
}

// Without the methods that know contexts.
type refusingWithoutContext struct {
	*plainDevice
	FUAWriter
	Trimmer
	ZeroWriter
	ExtentLister
	Prefetcher
	Resizer
}

// TestDiskRefused calls each power of devices that have all, and answer every call of
// an optional one with ErrNotSupported: it must be as if they had none.
func TestDiskRefused(t *testing.T) {
	const size = 1 << 16
	for _, sizes := range []BlockSizes{{}, {Minimum: 512}} {
		r := &refusingDevice{plainDevice{t: t, memory: NewMemory(size), sizes: sizes}}
		w := &plainDevice{t: t, memory: NewMemory(size), sizes: sizes}
		for plain, dev := range map[*plainDevice]Device{&r.plainDevice: r, w: refusingWithoutContext{w, r, r, r, r, r, r}} {
			d, err := NewDisk(dev)
			if err != nil {
				t.Fatal(err)
			}
			p := bytes.Repeat([]byte{7}, 1500)
			zeroed := func(flags ZeroFlags) func() error {
				return func() error {
					err := d.WriteZeroes(1024, 512, flags)
					got := make([]byte, 512)
					if d.ReadAt(got, 1024); err == nil && bytes.Count(got, []byte{0}) != 512 {
						err = errors.New("no zeroes")
					}
					return err
				}
			}
			for _, c := range []struct {
				name  string
				call  func() error
				want  error
				syncs int // what the plain Sync is called for
			}{
				{"write", func() error { _, err := d.WriteAt(p, 1000); return err }, nil, 0},
				{"read", func() error {
					got := make([]byte, len(p))
					_, err := d.ReadAt(got, 1000)
					if err == nil && !bytes.Equal(got, p) {
						err = errors.New("other bytes")
					}
					return err
				}, nil, 0},
				{"sync", d.Sync, nil, 1},
				{"FUA", func() error { _, err := d.WriteAtFUA(p[:512], 512); return err }, nil, 1},
				{"trim", func() error { return d.Trim(0, 512) }, nil, 0},
				{"prefetch", func() error { return d.Prefetch(0, 512) }, nil, 0},
				{"zeroes", zeroed(0), nil, 0},
				{"zeroes without a hole", zeroed(ZeroNoHole), nil, 0},
				{"zeroes with FUA", zeroed(ZeroFUA), nil, 1},
				{"fast zeroes", zeroed(ZeroFast), ErrNotSupported, 0},
				{"extents", func() error {
					var all []Extent
					err := d.Extents(5, 700, func(e Extent) bool { all = append(all, e); return true })
					if err == nil && (len(all) != 1 || all[0] != (Extent{Off: 5, Length: 700})) {
						err = fmt.Errorf("extents %+v", all)
					}
					return err
				}, nil, 0},
				{"resize", func() error { return d.Resize(2 * size) }, ErrNotSupported, 0},
			} {
				before := plain.syncs
				if err := c.call(); !errors.Is(err, c.want) {
					t.Errorf("%+v: %s: %v, want %v", sizes, c.name, err, c.want)
				} else if n := plain.syncs - before; n != c.syncs {
					t.Errorf("%+v: %s: %d syncs, want %d", sizes, c.name, n, c.syncs)
				}
			}
		}
	}
}

func TestDiskRanges(t *testing.T) {
	const size = 1 << 16
	d, _ := NewDisk(NewMemory(size))
	for _, c := range []struct {
		off, length int64
		ok          bool
	}{
		{0, size, true}, {size, 0, true}, {size - 1, 1, true}, {0, size + 1, false}, {size, 1, false},
		{size + 1, 0, false}, {-1, 1, false}, {1<<63 - 1, 1, false}, {1, 1<<63 - 1, false}, {0, -1, false},
	} {
		calls := map[string]func() error{
			"trim":     func() error { return d.Trim(c.off, c.length) },
			"zero":     func() error { return d.WriteZeroes(c.off, c.length, 0) },
			"extents":  func() error { return d.Extents(c.off, c.length, func(Extent) bool { return true }) },
			"prefetch": func() error { return d.Prefetch(c.off, c.length) },
		}
		if c.length >= 0 && c.length <= 2*size {
			p := make([]byte, c.length)
			calls["read"] = func() error { _, err := d.ReadAt(p, c.off); return err }
			calls["write"] = func() error { _, err := d.WriteAt(p, c.off); return err }
			calls["FUA"] = func() error { _, err := d.WriteAtFUA(p, c.off); return err }
		}
		for name, call := range calls {
			err := call()
			if (err == nil) != c.ok || err != nil && (!errors.Is(err, ErrRange) || !errors.Is(err, syscall.EINVAL)) {
				t.Errorf("%s of %d at %d: %v", name, c.length, c.off, err)
			}
		}
	}
}

func TestDiskAllocates(t *testing.T) {
	for _, sizes := range []BlockSizes{{}, {Minimum: 512}} {
		d, _ := NewDisk(&plainDevice{t: t, memory: NewMemory(1 << 20), sizes: sizes})
		p := make([]byte, 4096)
		if n := testing.AllocsPerRun(1000, func() {
			d.WriteAt(p, 4096)
			d.WriteAt(p[:100], 77)
			d.ReadAt(p[:300], 99)
			d.WriteAtFUA(p, 8192)
			d.WriteZeroes(10, 5000, 0)
			d.Trim(0, 4096)
			d.Sync()
		}); n >= 1 && !raceEnabled {
			t.Errorf("%+v: %v allocations", sizes, n)
		}
	}
}

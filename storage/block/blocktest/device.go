// Package blocktest tests block devices: whether they keep to the contract of
// block.Device under random operations, from many goroutines, and at their ends
// ([TestDevice]), and whether those that rest on other devices keep what they
// acknowledged over power cuts ([TestPowerCuts]).
package blocktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestDevice makes devices by open, each test one, and looks whether they are what
// package block says. A device has at least 64 KB; what it holds at first does not
// matter. Of one that is read-only only reads are tested. A device that can be
// closed is closed.
//
// It does not use synctest and may be called in a bubble.
func TestDevice(t *testing.T, open func(t *testing.T) block.Device) {
	for _, c := range []struct {
		name   string
		writes bool
		test   func(t *testing.T, d *block.Disk, size int64)
	}{
		{"Ranges", false, testRanges},
		{"Reads", false, testReads},
		{"Extents", false, testExtents},
		{"Context", false, testContext},
		{"ReadOnly", false, testReadOnly},
		{"Random", true, testRandom},
		{"Zeroes", true, testZeroes},
		{"Neighbours", true, testNeighbours},
		{"Blocks", true, testBlocks},
		{"Resize", true, testResize},
	} {
		t.Run(c.name, func(t *testing.T) {
			dev := open(t)
			if closer, ok := dev.(io.Closer); ok {
				defer func() {
					if err := closer.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}()
			}
			d, err := block.NewDisk(dev)
			if err != nil {
				t.Fatal(err)
			}
			size, err := d.Size()
			if err != nil {
				t.Fatal(err)
			}
			if size < 64<<10 {
				t.Fatalf("the device has %d bytes, and the tests need 65536", size)
			}
			if c.writes && d.ReadOnly() {
				return // the property of such a device is tested by testReadOnly
			}
			c.test(t, d, size)
		})
	}
}

// testRanges makes calls beyond the end of the device: they fail and change nothing.
func testRanges(t *testing.T, d *block.Disk, size int64) {
	before := make([]byte, 4096)
	if _, err := d.ReadAt(before, size-4096); err != nil {
		t.Fatal(err)
	}
	p := bytes.Repeat([]byte{0xee}, 4096)
	for _, c := range []struct{ off, length int64 }{
		{size, 1}, {size - 1, 2}, {size - 4096, 4097}, {size + 1, 0}, {size + 4096, 512}, {-1, 1}, {-4096, 4096}, {-1, 0},
		{1<<63 - 1, 1}, {1<<63 - 4096, 4096}, {1 << 62, 512},
	} {
		calls := map[string]func() error{
			"Extents": func() error { return d.Extents(c.off, c.length, func(block.Extent) bool { return true }) },
			"Trim":    func() error { return d.Trim(c.off, c.length) },
			"Zeroes":  func() error { return d.WriteZeroes(c.off, c.length, 0) },
		}
		if c.length <= 4097 {
			p := append(p, 0xee)[:c.length]
			calls["Read"] = func() error { _, err := d.ReadAt(make([]byte, len(p)), c.off); return err }
			calls["Write"] = func() error { _, err := d.WriteAt(p, c.off); return err }
			calls["FUA"] = func() error { _, err := d.WriteAtFUA(p, c.off); return err }
		}
		for name, call := range calls {
			want := block.ErrRange
			if d.ReadOnly() && name != "Read" && name != "Extents" {
				want = block.ErrReadOnly
			}
			if err := call(); !errors.Is(err, want) {
				t.Errorf("%s of %d bytes at %d of %d: %v, want %v", name, c.length, c.off, size, err, want)
			}
		}
	}
	after := make([]byte, 4096)
	if _, err := d.ReadAt(after, size-4096); err != nil || !bytes.Equal(before, after) {
		t.Errorf("calls beyond the end have changed the end (%v)", err)
	}
	if now, err := d.Size(); err != nil || now != size {
		t.Errorf("the size was %d and is %d (%v)", size, now, err)
	}
	for _, off := range []int64{0, 1, size} {
		if n, err := d.ReadAt(nil, off); n != 0 || err != nil {
			t.Errorf("a read of nothing at %d: %d, %v", off, n, err)
		}
	}
}

// testReads reads the same bytes in several ways.
func testReads(t *testing.T, d *block.Disk, size int64) {
	size = min(size, 1<<20)
	want := make([]byte, size)
	if n, err := d.ReadAt(want, 0); n != len(want) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		off := r.Int64N(size)
		got := make([]byte, r.Int64N(1+min(size-off, 1<<(3+r.IntN(18)))))
		if r.IntN(5) == 0 {
			if err := d.Prefetch(off, int64(len(got))); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := d.ReadAt(got, off); n != len(got) || err != nil {
			t.Fatalf("%d bytes at %d: %d, %v", len(got), off, n, err)
		}
		if !bytes.Equal(got, want[off:][:len(got)]) {
			t.Fatalf("%d bytes at %d differ from what a read of all gave", len(got), off)
		}
	}
}

// testExtents looks whether extents cover ranges exactly, and zeroes are zeroes.
func testExtents(t *testing.T, d *block.Disk, size int64) {
	r := rand.New(rand.NewPCG(2, 2))
	for i := range 30 {
		off, length := int64(0), size
		if i > 0 {
			off = r.Int64N(size)
			length = r.Int64N(1 + size - off)
		}
		checkExtents(t, d, off, length)
	}
	n := 0
	if err := d.Extents(0, size, func(block.Extent) bool { n++; return false }); err != nil || n != 1 {
		t.Errorf("after a yield that said stop: %d extents, %v", n, err)
	}
}

func checkExtents(t *testing.T, d *block.Disk, off, length int64) {
	t.Helper()
	at := off
	p := make([]byte, 64<<10)
	var zeroes []block.Extent // read later: yield need not be able to use the device
	if err := d.Extents(off, length, func(e block.Extent) bool {
		if e.Off != at || e.Length <= 0 {
			t.Fatalf("an extent %+v, where one at %d was due", e, at)
		}
		at += e.Length
		if e.Zero && len(zeroes) < 16 {
			zeroes = append(zeroes, e)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if at != off+length {
		t.Fatalf("extents of %d bytes at %d end at %d", length, off, at)
	}
	for _, e := range zeroes {
		for _, from := range []int64{e.Off, e.Off + max(0, e.Length-int64(len(p)))} {
			p := p[:min(int64(len(p)), e.Length)]
			if _, err := d.ReadAt(p, from); err != nil {
				t.Fatal(err)
			}
			if bytes.Count(p, []byte{0}) != len(p) {
				t.Fatalf("not all bytes of an extent of zeroes, %+v, are zero at %d", e, from)
			}
		}
	}
}

// testContext makes calls with a context that has ended.
func testContext(t *testing.T, d *block.Disk, size int64) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := make([]byte, 512)
	if _, err := d.ReadAtContext(ctx, p, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a read: %v", err)
	}
	if _, err := d.ReadAt(p, 0); err != nil {
		t.Errorf("a read after one that was given up: %v", err)
	}
	if d.ReadOnly() {
		return
	}
	if _, err := d.WriteAtContext(ctx, p, 0, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a write: %v", err)
	}
	for name, err := range map[string]error{
		"a Sync":  d.SyncContext(ctx),
		"zeroes":  d.WriteZeroesContext(ctx, 0, 4096, 0),
		"a trim":  d.TrimContext(ctx, 0, 4096),
		"extents": d.ExtentsContext(ctx, 0, 4096, func(block.Extent) bool { return true }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.WriteAt(p, 0); err != nil {
		t.Errorf("a write after one that was given up: %v", err)
	}
	if err := d.Sync(); err != nil {
		t.Errorf("a Sync after one that was given up: %v", err)
	}
}

// testReadOnly makes writes to a device that takes none.
func testReadOnly(t *testing.T, d *block.Disk, size int64) {
	if !d.ReadOnly() {
		if _, err := d.WriteAt([]byte{1}, 0); err != nil {
			t.Errorf("a write: %v", err)
		}
		return
	}
	for name, err := range map[string]error{
		"WriteAt":     func() error { _, err := d.WriteAt([]byte{1}, 0); return err }(),
		"WriteAtFUA":  func() error { _, err := d.WriteAtFUA([]byte{1}, 0); return err }(),
		"Trim":        d.Trim(0, 1),
		"WriteZeroes": d.WriteZeroes(0, 1, 0),
		"Resize":      d.Resize(size),
	} {
		if !errors.Is(err, block.ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := d.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
}

// testNeighbours has many goroutines write neighbouring ranges that share blocks.
// Each must find what it wrote.
func testNeighbours(t *testing.T, d *block.Disk, size int64) {
	const users, piece = 8, 1000
	pieces := min(size, 1<<20) / piece / users
	var wg sync.WaitGroup
	for u := range int64(users) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(3, uint64(u)))
			wrote, got := map[int64]byte{}, make([]byte, piece)
			for range 60 {
				i := r.Int64N(pieces)
				off, b := (i*users+u)*piece, byte(r.Uint32())
				if _, err := d.WriteAt(bytes.Repeat([]byte{b}, piece), off); err != nil {
					t.Errorf("a write at %d: %v", off, err)
					return
				}
				wrote[i] = b
				for i, b := range wrote {
					off := (i*users + u) * piece
					if _, err := d.ReadAt(got, off); err != nil || bytes.Count(got, []byte{b}) != piece {
						t.Errorf("%d bytes at %d are not all %d (%v)", piece, off, b, err)
						return
					}
					break // one a turn, whichever the map has first
				}
			}
			for i, b := range wrote {
				off := (i*users + u) * piece
				if _, err := d.ReadAt(got, off); err != nil || bytes.Count(got, []byte{b}) != piece {
					t.Errorf("at the end %d bytes at %d are not all %d (%v)", piece, off, b, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// testBlocks writes the same blocks from many goroutines: each block of the
// device's smallest size is all of one write.
func testBlocks(t *testing.T, d *block.Disk, size int64) {
	unit := int64(max(d.Info().BlockSizes.Minimum, 1))
	length := min(size, max(8*unit, 4096)) / unit * unit
	var wg sync.WaitGroup
	for u := range 4 {
		wg.Go(func() {
			p := bytes.Repeat([]byte{byte(u + 1)}, int(length))
			for range 20 {
				if _, err := d.WriteAt(p, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := make([]byte, length)
	if _, err := d.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	for off := int64(0); off < length; off += unit {
		b := got[off:][:unit]
		if b[0] == 0 || b[0] > 4 || bytes.Count(b, b[:1]) != len(b) {
			t.Fatalf("the block at %d is not of one write", off)
		}
	}
}

// testResize shrinks and grows: what was cut off does not come back, and users are
// told.
func testResize(t *testing.T, d *block.Disk, size int64) {
	if !d.Info().Resize {
		if err := d.Resize(size); !errors.Is(err, block.ErrNotSupported) {
			t.Errorf("Resize: %v", err)
		}
		return
	}
	unit := int64(max(d.Info().BlockSizes.Minimum, 1))
	small := max(size/2/unit*unit, unit)
	p := bytes.Repeat([]byte{5}, int(min(size, 1<<20)))
	if _, err := d.WriteAt(p, size-int64(len(p))); err != nil {
		t.Fatal(err)
	}
	var told []int64
	stop := d.NotifyResize(func(size int64) { told = append(told, size) })
	for _, to := range []int64{small, size + unit, size} {
		if err := d.Resize(to); err != nil {
			t.Fatal(err)
		}
		if now, err := d.Size(); err != nil || now != to {
			t.Fatalf("the size is %d (%v), want %d", now, err, to)
		}
		if _, err := d.ReadAt(p[:1], to); !errors.Is(err, block.ErrRange) {
			t.Errorf("a read beyond the new end: %v", err)
		}
		if _, err := d.ReadAt(p[:1], to-1); err != nil {
			t.Errorf("a read at the new end: %v", err)
		}
	}
	stop()
	if len(told) != 3 || told[2] != size {
		t.Errorf("told of the sizes %d", told)
	}
	p = p[:min(size-small, int64(len(p)))]
	if _, err := d.ReadAt(p, small); err != nil || bytes.Count(p, []byte{0}) != len(p) {
		t.Errorf("what was cut off has come back (%v)", err)
	}
	if err := d.Resize(-1); !errors.Is(err, block.ErrRange) {
		t.Errorf("a negative size: %v", err)
	}
}

package overlay

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
	"github.com/seed-012105e5/gonet/storage/block/filter"
)

// golden is a base with data, zeroes and holes.
func golden(t testing.TB, size int64) *block.Memory {
	m := block.NewMemory(size)
	r := rand.New(rand.NewPCG(1, 1))
	p := make([]byte, 1000)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	p = bytes.Repeat(p, int(size/3/1000))
	if _, err := m.WriteAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return m
}

func content(t testing.TB, d block.Device) []byte {
	t.Helper()
	size, err := d.Size()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, size)
	if _, err := d.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t testing.TB, base, store block.Device, cluster int) *Overlay {
	t.Helper()
	o, err := Open(base, store, Config{Cluster: cluster})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOverlay(t *testing.T) {
	for _, cluster := range []int{smallestCluster, defaultCluster, largestCluster} {
		base, err := filter.ReadOnly(golden(t, 1<<20+777))
		if err != nil {
			t.Fatal(err)
		}
		before := content(t, base)
		blocktest.TestDevice(t, func(t *testing.T) block.Device {
			return open(t, base, block.NewMemory(0), cluster)
		})
		if !bytes.Equal(before, content(t, base)) {
			t.Error("the base has changed")
		}
	}
}

func TestOverlayInFile(t *testing.T) {
	blocktest.TestDevice(t, func(t *testing.T) block.Device {
		f, err := block.OpenFile(filepath.Join(t.TempDir(), "store"), block.FileConfig{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		return open(t, golden(t, 1<<20), f, 0)
	})
}

// TestOverlayKeeps closes and opens.
func TestOverlayKeeps(t *testing.T) {
	base, store := golden(t, 1<<20), block.NewMemory(0)
	o := open(t, base, store, 0)
	d, _ := block.NewDisk(o)
	d.WriteAt([]byte("changed"), 1000)
	d.WriteZeroes(128<<10, 128<<10, 0)
	want := content(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	o = open(t, base, store, 0)
	if !bytes.Equal(content(t, o), want) {
		t.Error("what was written is not there after the overlay was closed and opened")
	}
	if n := o.Used(); n != 64<<10 {
		t.Errorf("%d bytes are used", n)
	}
	var all []block.Extent
	d, _ = block.NewDisk(o)
	d.Extents(0, 1<<20, func(e block.Extent) bool { all = append(all, e); return true })
	wantExtents := []block.Extent{{Off: 0, Length: 128 << 10}, {Off: 128 << 10, Length: 128 << 10, Hole: true, Zero: true},
		{Off: 256 << 10, Length: 128 << 10}, {Off: 384 << 10, Length: 640 << 10, Hole: true, Zero: true}}
	if !slices.Equal(all, wantExtents) {
		t.Errorf("extents %+v", all)
	}
	if _, err := Open(block.NewMemory(1<<19), store, Config{}); err == nil {
		t.Error("an overlay opens over a base of another size")
	}
}

// TestOverlaySnapshots stacks overlays: each has what was written up to it.
func TestOverlaySnapshots(t *testing.T) {
	var d block.Device = golden(t, 1<<20)
	var contents [][]byte
	var disks []block.Device
	for i := range 5 {
		o := open(t, d, block.NewMemory(0), smallestCluster)
		o.WriteAt(bytes.Repeat([]byte{byte(i)}, 5000), int64(i)*4000)
		o.Sync()
		contents, disks = append(contents, content(t, o)), append(disks, o)
		d = o
	}
	for i := range disks {
		if !bytes.Equal(content(t, disks[i]), contents[i]) {
			t.Errorf("snapshot %d has changed", i)
		}
	}
}

func TestCommitAndDiscard(t *testing.T) {
	for _, commit := range []bool{true, false} {
		base, store := golden(t, 1<<20+100), block.NewMemory(0)
		o := open(t, base, store, smallestCluster)
		want := content(t, o)
		change(t, o, 7)
		var err error
		if commit {
			want = content(t, o)
			var told int64
			err = o.Commit(context.Background(), func(done, size int64) { told = done })
			if told != 1<<20+100 {
				t.Errorf("progress ends at %d", told)
			}
		} else {
			err = o.Discard(context.Background())
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content(t, o), want) || !bytes.Equal(content(t, base), want) {
			t.Errorf("commit %v: the disk or the base is not what it must be", commit)
		}
		if o.Used() != 0 || store.Allocated() > 2*64<<10 {
			t.Errorf("commit %v: %d bytes are used, %d allocated", commit, o.Used(), store.Allocated())
		}
		o.WriteAt([]byte("new"), 4096)
		o.Sync()
		copy(want[4096:], "new")
		if !bytes.Equal(content(t, open(t, base, store, 0)), want) {
			t.Errorf("commit %v: what was written after it is lost", commit)
		}
	}
	base, _ := filter.ReadOnly(golden(t, 1<<20))
	if err := open(t, base, block.NewMemory(0), 0).Commit(context.Background(), nil); !errors.Is(err, block.ErrReadOnly) {
		t.Error(err)
	}
}

// change makes writes of all kinds.
func change(t testing.TB, o *Overlay, seed uint64) {
	d, err := block.NewDisk(o)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 2))
	for range 50 {
		off := r.Int64N(o.header.size)
		n := 1 + r.Int64N(min(20000, o.header.size-off))
		switch r.IntN(3) {
		case 0:
			d.WriteZeroes(off, n, 0)
		case 1:
			d.Trim(off, n)
		default:
			d.WriteAt(bytes.Repeat([]byte{byte(r.Uint32())}, int(n)), off)
		}
	}
}

// TestPowerCuts is with clusters that are shorter than runs of sectors of one user,
// and longer.
func TestPowerCuts(t *testing.T) {
	for seed := range uint64(4) {
		base := block.NewMemory(1 << 20)
		blocktest.TestPowerCuts(t, blocktest.Cuts{Seed: seed, Rounds: 80, Base: base}, func(store block.Device) (block.Device, error) {
			return Open(base, store, Config{Cluster: []int{smallestCluster, 16 << 10}[seed%2]})
		})
	}
}

// TestCutsOfDiscard cuts the power at each write of a Discard and a Commit: the disk
// is either all of what it was or all of the base, and after a Commit has returned,
// all is in the base.
func TestCutsOfDiscard(t *testing.T) {
	ctx := context.Background()
	size := int64(20 << 20)
	if testing.Short() {
		size = 9 << 20
	}
	for _, commit := range []bool{false, true} {
		for n := 1; ; n++ {
			// The table has several sectors, which a cut may tear apart.
			base, store := golden(t, size), block.NewMemory(0)
			o := open(t, base, store, smallestCluster)
			change(t, o, 3)
			o.Sync()
			changed, plain := content(t, o), content(t, base)

			cut, err := filter.NewVolatile(store)
			if err != nil {
				t.Fatal(err)
			}
			volatileBase, _ := filter.NewVolatile(base)
			o = open(t, volatileBase, cut, 0)
			cut.CutAfter(n, uint64(n))
			if commit {
				err = o.Commit(ctx, nil)
			} else {
				err = o.Discard(ctx)
			}
			survived := err == nil
			if !survived {
				// Nothing may be acknowledged that the next Open throws away.
				if _, err := o.WriteAtContext(ctx, make([]byte, 512), 0, true); err == nil {
					t.Fatalf("cut %d: a write with FUA has succeeded after a %v", n, err)
				}
			}
			cut.Cut(uint64(n))
			volatileBase.Cut(uint64(n))
			got := content(t, open(t, base, store, 0))
			switch {
			case commit && !bytes.Equal(got, changed):
				t.Fatalf("commit, cut %d: the disk has not all changes", n)
			case !commit && !bytes.Equal(got, changed) && !bytes.Equal(got, plain):
				t.Fatalf("discard, cut %d: the disk is neither what it was nor the base", n)
			case survived && !commit && !bytes.Equal(got, plain):
				t.Fatalf("discard, cut %d: what was discarded is back", n)
			}
			if survived {
				break
			}
			if n > 1000 {
				t.Fatal("no end of writes")
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	base := golden(t, 1<<20)
	store := block.NewMemory(0)
	open(t, base, store, 0)
	good := make([]byte, headerSize)
	store.ReadAt(good, 0)
	for name, spoil := range map[string]func(b []byte){
		"another file": func(b []byte) { copy(b, "QFI\xfb") },
		"a checksum":   func(b []byte) { b[45]++ },
		"a version":    func(b []byte) { b[8]++ },
	} {
		b := slices.Clone(good)
		spoil(b)
		store.WriteAt(b, 0)
		if _, err := Open(base, store, Config{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// A file system begins behind the first sectors.
	store = block.NewMemory(1 << 20)
	store.WriteAt([]byte{0x53, 0xef}, 1024+56)
	if _, err := Open(base, store, Config{}); !errors.Is(err, ErrNotOverlay) {
		t.Errorf("a file system: %v", err)
	}
	store = block.NewMemory(0)
	open(t, base, store, 0)
	store.WriteAt([]byte{3}, tableStart)
	if _, err := Open(base, store, Config{}); err == nil {
		t.Error("a table with states that there are not: no error")
	}
	for _, cluster := range []int{1, 4097, 4 << 20, -4096} {
		if _, err := Open(base, block.NewMemory(0), Config{Cluster: cluster}); err == nil {
			t.Errorf("a cluster of %d bytes: no error", cluster)
		}
	}
	if _, err := Open(block.NewMemory(1<<62), block.NewMemory(0), Config{}); err == nil {
		t.Error("a table beyond memory: no error")
	}
	store.Resize(1 << 20)
	store.WriteAt([]byte{0}, tableStart)
	if _, err := Open(base, store, Config{}); err == nil {
		t.Error("a store that was cut off: no error")
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(header{cluster: 65536, size: 1 << 30}.encode())
	f.Add(header{cluster: 4096, size: 0, flags: 1}.encode())
	f.Add(make([]byte, headerSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, empty, err := decode(b)
		if err != nil || empty {
			return
		}
		if h.tableSize() > largestTable+pageSize || h.tableSize() < 0 || h.dataStart() < tableStart || h.storeSize() < h.size {
			t.Errorf("%+v is accepted", h)
		}
		if !bytes.Equal(h.encode()[:48], b[:48]) {
			t.Errorf("%+v is not what %x says", h, b[:48])
		}
	})
}

func TestTableRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 300 {
		n := 1 + r.Int64N(60)
		tab := newTable(pageSize)
		model := make([]state, n)
		for range r.IntN(6) {
			first := r.Int64N(n)
			end, s := first+1+r.Int64N(n-first), state(r.IntN(3))
			tab.set(first, end, s)
			for i := first; i < end; i++ {
				model[i] = s
			}
		}
		for first := range n {
			want := int64(1)
			for first+want < n && model[first+want] == model[first] {
				want++
			}
			if s, got := tab.run(first, n-first); s != model[first] || got != want {
				t.Fatalf("from %d of %v: a run of %d in state %d", first, model, got, s)
			}
		}
	}
}

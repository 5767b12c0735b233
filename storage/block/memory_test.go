package block

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
)

func TestMemorySparse(t *testing.T) {
	for _, size := range []int64{1, pageSize, 1 << 30, 1 << 40, 1 << 62} {
		m := NewMemory(size)
		d, err := NewDisk(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.WriteAt([]byte{7}, size-1); err != nil {
			t.Fatal(err)
		}
		if n := m.Allocated(); n != pageSize {
			t.Errorf("a byte takes %d", n)
		}
		var all []Extent
		d.Extents(0, size, func(e Extent) bool { all = append(all, e); return true })
		last := (size - 1) &^ (pageSize - 1)
		want := []Extent{{Off: 0, Length: last, Hole: true, Zero: true}, {Off: last, Length: size - last}}
		if last == 0 {
			want = want[1:]
		}
		if !slices.Equal(all, want) {
			t.Errorf("of %d bytes: extents %+v", size, all)
		}
		if err := d.Trim(0, size); err != nil || m.Allocated() != 0 {
			t.Errorf("after a trim of all: %v, %d bytes are allocated", err, m.Allocated())
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	m := NewMemoryLimit(1<<40, 2*pageSize)
	if _, err := m.WriteAt(make([]byte, 2*pageSize), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt([]byte{1}, 1<<30); !errors.Is(err, ErrNoSpace) {
		t.Error(err)
	}
	if err := m.WriteZeroes(1<<30, 1<<30, ZeroNoHole); !errors.Is(err, ErrNoSpace) {
		t.Error(err)
	}
	m.Trim(0, pageSize)
	if _, err := m.WriteAt([]byte{1}, 1<<30); err != nil {
		t.Error(err)
	}
}

// TestMemoryResize shrinks and grows over the levels of the tree: what was cut off
// must not come back.
func TestMemoryResize(t *testing.T) {
	m := NewMemory(100)
	var told []int64
	stop := m.NotifyResize(func(size int64) { told = append(told, size) })
	m.WriteAt(bytes.Repeat([]byte{9}, 100), 0)
	sizes := []int64{50, 1 << 20, 1 << 35, 1 << 50, 60, 1 << 62, 50, 100}
	for _, size := range sizes {
		if err := m.Resize(size); err != nil {
			t.Fatal(err)
		}
		if size > 1<<21 {
			m.WriteAt([]byte{8}, size-1)
			m.WriteAt([]byte{8}, 1<<20)
		}
	}
	stop()
	m.Resize(100)
	if !slices.Equal(told, sizes) {
		t.Errorf("told of %d", told)
	}
	got := make([]byte, 100)
	m.ReadAt(got, 0)
	if want := append(bytes.Repeat([]byte{9}, 50), make([]byte, 50)...); !bytes.Equal(got, want) {
		t.Errorf("got %d", got)
	}
	m.Resize(1 << 62)
	if n := m.Allocated(); n != pageSize {
		t.Errorf("%d bytes are allocated", n)
	}
}

// TestMemoryExchange gives pages and takes the old ones, where there are any.
func TestMemoryExchange(t *testing.T) {
	m := NewMemoryLimit(3*pageSize+1, 2*pageSize)
	page := func(b byte) []byte { return bytes.Repeat([]byte{b}, pageSize) }
	if old, err := m.ExchangePage(page(1), pageSize); old != nil || err != nil {
		t.Errorf("into a hole: %d bytes, %v", len(old), err)
	}
	if old, err := m.ExchangePage(page(2), pageSize); !bytes.Equal(old, page(1)) || err != nil {
		t.Errorf("into a page: %d bytes, %v", len(old), err)
	}
	for _, c := range []struct {
		name string
		page []byte
		off  int64
		want error
	}{
		{"not aligned", page(3), 512, ErrAlignment},
		{"short", page(3)[1:], 0, ErrAlignment},
		{"beyond the end by one byte less than a page", page(3), 3 * pageSize, ErrRange},
		{"before the beginning", page(3), -pageSize, ErrRange},
	} {
		if _, err := m.ExchangePage(c.page, c.off); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	m.WriteAt([]byte{1}, 0)
	if _, err := m.ExchangePage(page(3), 2*pageSize); !errors.Is(err, ErrNoSpace) || m.Allocated() != 2*pageSize {
		t.Errorf("a third page of two: %v, %d bytes are allocated", err, m.Allocated())
	}
	got := make([]byte, 3*pageSize)
	m.ReadAt(got, 0)
	want := slices.Concat(page(0), page(2), page(0))
	want[0] = 1
	if !bytes.Equal(got, want) {
		t.Error("other data are read than were written")
	}
}

// TestMemoryExchangeWhole has pages change while they are read, written in part and
// dropped: each read finds one page, whole.
func TestMemoryExchangeWhole(t *testing.T) {
	m := NewMemory(2 * pageSize)
	var wg sync.WaitGroup
	for writer := range 3 {
		wg.Go(func() {
			mine := make([]byte, pageSize)
			for i := range 300 {
				for j := range mine {
					mine[j] = byte(1 + writer)
				}
				old, err := m.ExchangePage(mine, 0)
				if err != nil {
					t.Error(err)
				}
				if mine = old; mine == nil {
					mine = make([]byte, pageSize)
				}
				if i%50 == 0 {
					m.Trim(0, pageSize)
				}
			}
		})
		wg.Go(func() {
			got := make([]byte, pageSize)
			for range 300 {
				m.ReadAt(got, 0)
				if bytes.Count(got, got[:1]) != pageSize {
					t.Error("a page is torn")
					return
				}
			}
		})
		wg.Go(func() {
			for range 300 {
				loans, _ := m.Lend(nil, 0, pageSize)
				got := loans[0].Bytes
				if bytes.Count(got, got[:1]) != pageSize {
					t.Error("a page that is lent is torn")
				}
				loans[0].Return()
			}
		})
	}
	wg.Wait()
}

// TestMemoryLend has pages lent while they are changed in every way: the loans stay as
// they were, what is read is new, and when they are back pages are changed in place
// again.
func TestMemoryLend(t *testing.T) {
	const size = 4 * pageSize
	for name, change := range map[string]func(m *Memory) error{
		"write in part": func(m *Memory) error { _, err := m.WriteAt([]byte{9}, pageSize+5); return err },
		"write of all":  func(m *Memory) error { _, err := m.WriteAt(bytes.Repeat([]byte{9}, size), 0); return err },
		"a page given": func(m *Memory) error {
			_, err := m.ExchangePage(bytes.Repeat([]byte{9}, pageSize), pageSize)
			return err
		},
		"zeroes in part": func(m *Memory) error { return m.WriteZeroes(pageSize+1, 100, 0) },
		"zeroes of all":  func(m *Memory) error { return m.WriteZeroes(0, size, ZeroNoHole) },
		"holes":          func(m *Memory) error { return m.WriteZeroes(0, size, 0) },
		"trim":           func(m *Memory) error { return m.Trim(0, size) },
		"a smaller size": func(m *Memory) error { return m.Resize(pageSize + 7) },
		"nothing":        func(m *Memory) error { return nil },
	} {
		m := NewMemory(size)
		want := bytes.Repeat([]byte{1, 2, 3, 4}, size/4)
		clear(want[2*pageSize : 3*pageSize]) // a hole
		m.WriteAt(want[:2*pageSize], 0)
		m.WriteAt(want[3*pageSize:], 3*pageSize)
		const off, length = 100, size - 300
		first, err := m.Lend(nil, off, length)
		if err != nil {
			t.Fatal(err)
		}
		second, _ := m.Lend(nil, off, length)
		if err := change(m); err != nil {
			t.Fatal(err)
		}
		same := func(loans []Loan) bool {
			var got []byte
			for _, l := range loans {
				got = append(got, l.Bytes...)
			}
			return bytes.Equal(got, want[off:off+length])
		}
		if !same(first) || !same(second) {
			t.Errorf("%s: loans have changed", name)
		}
		for _, l := range first {
			l.Return()
		}
		m.WriteAt([]byte{8}, pageSize+6)
		if !same(second) {
			t.Errorf("%s: a loan has changed when another was given back", name)
		}
		for _, l := range second {
			l.Return()
		}
		page := m.page(1)
		before := page.bytes
		if m.WriteAt([]byte{7}, pageSize); m.page(1).bytes != before {
			t.Errorf("%s: a page that is not lent is copied", name)
		}
		if n := page.lent.Load(); n != 0 {
			t.Errorf("%s: a page is lent %d times when all are back", name, n)
		}
	}
	m := NewMemory(100)
	for _, r := range [][2]int64{{0, 101}, {-1, 1}, {101, 0}} {
		if loans, err := m.Lend(nil, r[0], r[1]); len(loans) > 0 || !errors.Is(err, ErrRange) {
			t.Errorf("%d bytes at %d: %v", r[1], r[0], err)
		}
	}
}

package memory

import (
	"errors"
	"math"
	"testing"
)

// fill returns a mapping of ordinary memory whose bytes are all v.
func fill(t *testing.T, r Region, v byte) *Mapping {
	t.Helper()
	mem := make([]byte, r.Size)
	for i := range mem {
		mem[i] = v
	}
	m, err := New(r, mem, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// guest has two regions of the guest's side by side, and one apart, which lie in
// another order for the front end.
func guest(t *testing.T) *Table {
	t.Helper()
	table, err := NewTable(
		fill(t, Region{Guest: 0x9000, Size: 0x1000, User: 0x1000}, 3),
		fill(t, Region{Guest: 0x1000, Size: 0x1000, User: 0x7000_0000}, 1),
		fill(t, Region{Guest: 0x2000, Size: 0x800, User: 0x5000}, 2),
	)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestSlice(t *testing.T) {
	table := guest(t)
	for _, c := range []struct {
		addr, n uint64
		len     int // 0: refused
		v       byte
	}{
		{0x1000, 1, 1, 1},
		{0x1000, 0x1000, 0x1000, 1},
		{0x1000, 0x1800, 0x1000, 1}, // the rest lies in the next region
		{0x1fff, 2, 1, 1},
		{0x2000, 0x800, 0x800, 2},
		{0x27ff, math.MaxUint32, 1, 2},
		{0x9fff, 1, 1, 3},
		{0, 1, 0, 0},
		{0xfff, 2, 0, 0}, // begins before the region
		{0x2800, 1, 0, 0},
		{0xa000, 1, 0, 0},
		{0x1000, 0, 0, 0},
		{0x1000, math.MaxUint64, 0, 0}, // wraps around
		{math.MaxUint64, 1, 0, 0},
		{math.MaxUint64, 2, 0, 0},
	} {
		b, err := table.Slice(c.addr, c.n)
		switch {
		case c.len == 0 && !errors.Is(err, ErrAddress):
			t.Errorf("%#x+%#x: %d bytes, %v", c.addr, c.n, len(b), err)
		case c.len > 0 && (err != nil || len(b) != c.len || cap(b) != c.len || b[0] != c.v || b[len(b)-1] != c.v):
			t.Errorf("%#x+%#x: %d bytes, %v", c.addr, c.n, len(b), err)
		}
	}
}

func TestUser(t *testing.T) {
	table := guest(t)
	for _, c := range []struct {
		addr, n uint64
		ok      bool
	}{
		{0x1000, 0x1000, true}, {0x1ff0, 16, true}, {0x7000_0000, 1, true}, {0x57ff, 1, true}, {0x5000, 0, true},
		{0x1ff0, 17, false}, {0x5700, 0x200, false}, {0xfff, 1, false}, {0x2000, 1, false},
		{0x1000, math.MaxUint64, false}, {math.MaxUint64, 1, false}, {0x1800, math.MaxUint64 - 0x1000, false},
	} {
		b, err := table.User(c.addr, c.n)
		if c.ok != (err == nil) || c.ok && uint64(len(b)) != c.n {
			t.Errorf("%#x+%#x: %d bytes, %v", c.addr, c.n, len(b), err)
		}
	}
}

func TestRefusesRegions(t *testing.T) {
	ok := Region{Guest: 0x1000, Size: 0x1000, User: 0x1000}
	for name, r := range map[string]Region{
		"empty":                        {Guest: 0x4000, User: 0x4000},
		"guest address wraps around":   {Guest: math.MaxUint64 - 0xffe, Size: 0x1000, User: 0x8000},
		"user address wraps around":    {Guest: 0x8000, Size: 0x1000, User: math.MaxUint64 - 0xffe},
		"offset wraps around":          {Guest: 0x8000, Size: 0x1000, User: 0x8000, Offset: math.MaxUint64},
		"the same":                     ok,
		"guest addresses overlap":      {Guest: 0x1fff, Size: 0x1000, User: 0x8000},
		"user addresses overlap":       {Guest: 0x8000, Size: 0x1000, User: 0x1fff},
		"guest addresses overlap from": {Guest: 0x1, Size: 0x1000, User: 0x8000},
	} {
		a := fill(t, ok, 0)
		table, err := NewTable(a)
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(r, make([]byte, r.Size), nil)
		if err == nil {
			_, err = table.With(m)
		}
		if !errors.Is(err, ErrRegion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(ok, make([]byte, 1), nil); !errors.Is(err, ErrRegion) {
		t.Errorf("memory of another size: %v", err)
	}
}

func TestTooMany(t *testing.T) {
	var all []*Mapping
	for i := range uint64(maxRegions + 1) {
		all = append(all, fill(t, Region{Guest: i * 16, Size: 16, User: i * 16}, 0))
	}
	table, err := NewTable(all[:maxRegions]...)
	if err != nil || table.Len() != MaxRegions() {
		t.Fatal(err)
	}
	if _, err := table.With(all[maxRegions]); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if table.End() != maxRegions*16 {
		t.Errorf("it ends at %#x", table.End())
	}
}

// TestUnmap: memory is unmapped with the last hold, of whatever table.
func TestUnmap(t *testing.T) {
	unmapped := ""
	mapped := func(name string, at uint64) *Mapping {
		m, err := New(Region{Guest: at, Size: 16, User: at}, make([]byte, 16), func() { unmapped += name })
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b := mapped("a", 0), mapped("b", 16)
	first, err := NewTable(a)
	if err != nil {
		t.Fatal(err)
	}
	a.Release()
	first.Hold() // a request under way
	second, err := first.With(b)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	first.Release()
	third, err := second.Without(a.Region)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Without(Region{Guest: 0, Size: 8, User: 0}); !errors.Is(err, ErrRegion) {
		t.Errorf("a region that is not there: %v", err)
	}
	second.Release()
	if unmapped != "" {
		t.Fatalf("%q are unmapped, and a request is under way", unmapped)
	}
	first.Release() // it ends
	if unmapped != "a" {
		t.Fatalf("%q are unmapped", unmapped)
	}
	if third.Release(); unmapped != "ab" {
		t.Errorf("%q are unmapped", unmapped)
	}
	defer func() {
		if recover() == nil {
			t.Error("released too often")
		}
	}()
	third.Release()
}

func FuzzSlice(f *testing.F) {
	f.Add(uint64(0), uint64(16), uint64(8), uint64(9), uint64(0x10), uint64(4))
	f.Add(uint64(math.MaxUint64-16), uint64(16), uint64(0), uint64(9), uint64(math.MaxUint64-1), uint64(4))
	f.Fuzz(func(t *testing.T, g1, n1, g2, n2, addr, n uint64) {
		n1, n2 = n1%64, n2%64
		var all []*Mapping
		for _, r := range []Region{{Guest: g1, Size: n1, User: g2}, {Guest: g2, Size: n2, User: g1}} {
			if m, err := New(r, make([]byte, r.Size), nil); err == nil {
				all = append(all, m)
			}
		}
		table, err := NewTable(all...)
		if err != nil {
			return
		}
		b, err := table.Slice(addr, n)
		if err != nil {
			return
		}
		if len(b) == 0 || uint64(len(b)) > n {
			t.Fatalf("%d bytes of %d", len(b), n)
		}
		for _, m := range all {
			if addr >= m.Guest && addr+uint64(len(b)) <= m.Guest+m.Size {
				return
			}
		}
		t.Fatalf("%#x+%d is in no region", addr, len(b))
	})
}

package memory

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// create returns a file of size bytes for a guest's memory.
func create(t *testing.T, size uint64) int {
	t.Helper()
	fd, err := Create("gonet-memory-test", size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// mappings counts the mappings of files that create has made.
func mappings(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "gonet-memory-test")
}

func TestMap(t *testing.T) {
	fd := create(t, 0x5000)
	m, err := Map(Region{Guest: 0x1000, Size: 0x2f00, User: 0x8000, Offset: 0x1100}, fd)
	if err != nil {
		t.Fatal(err)
	}
	table, err := NewTable(m)
	if err != nil {
		t.Fatal(err)
	}
	m.Release()
	b, err := table.Slice(0x1000, 0x2f00)
	if err != nil {
		t.Fatal(err)
	}
	b[0], b[0x2eff] = 1, 2
	var got [0x5000]byte
	if n, err := unix.Pread(fd, got[:], 0); n != len(got) || err != nil {
		t.Fatal(n, err)
	}
	if got[0x1100] != 1 || got[0x3fff] != 2 || bytes.Count(got[:], []byte{0}) != len(got)-2 {
		t.Error("the file has something else")
	}
	if mappings(t) != 1 {
		t.Errorf("%d mappings", mappings(t))
	}
	table.Release()
	if mappings(t) != 0 {
		t.Errorf("%d mappings are left", mappings(t))
	}
}

func TestMapRefuses(t *testing.T) {
	fd := create(t, 0x5000)
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	readOnly, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(readOnly)
	for name, c := range map[string]struct {
		r  Region
		fd int
	}{
		"longer than the file":  {Region{Size: 0x5001}, fd},
		"behind the file":       {Region{Size: 0x1000, Offset: 0x5000}, fd},
		"empty":                 {Region{}, fd},
		"wraps around":          {Region{Size: math.MaxUint64, Offset: 2}, fd},
		"rounding wraps around": {Region{Size: math.MaxUint64}, pipe[0]},
		"not a file":            {Region{Size: 0x1000}, pipe[0]},
		"no fd":                 {Region{Size: 0x1000}, -1},
		"read only":             {Region{Size: 0x1000}, readOnly},
	} {
		if m, err := Map(c.r, c.fd); err == nil {
			m.Release()
			t.Errorf("%s: no error", name)
		}
	}
	if mappings(t) != 0 {
		t.Errorf("%d mappings are left", mappings(t))
	}
}

// TestTruncated touches memory whose file was truncated in each way in which
// packages below vhost do.
func TestTruncated(t *testing.T) {
	other := make([]byte, 64)
	for name, touch := range map[string]func(b []byte){
		"read a byte":  func(b []byte) { other[0] = b[0] },
		"write a byte": func(b []byte) { b[0] = 1 },
		"copy from":    func(b []byte) { copy(other, b) },
		"copy to":      func(b []byte) { copy(b, other) },
		"clear":        func(b []byte) { clear(b) },
		"compare":      func(b []byte) { _ = bytes.Equal(b[:64], other) },
		"Load16":       func(b []byte) { Load16(b, 2) },
		"Store16":      func(b []byte) { Store16(b, 2, 1) },
		"Load32":       func(b []byte) { Load32(b, 4) },
		"Store32":      func(b []byte) { Store32(b, 4, 1) },
		"Load64":       func(b []byte) { Load64(b, 8) },
		"Store64":      func(b []byte) { Store64(b, 8, 1) },
		"Or32":         func(b []byte) { Or32(b, 8, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			fd := create(t, 0x2000)
			m, err := Map(Region{Guest: 0x1000, Size: 0x2000}, fd)
			if err != nil {
				t.Fatal(err)
			}
			table, err := NewTable(m)
			if err != nil {
				t.Fatal(err)
			}
			m.Release()
			defer table.Release()
			b, err := table.Slice(0x2000, 0x1000)
			if err != nil {
				t.Fatal(err)
			}
			if err := table.Guard(func() { touch(b) }); err != nil {
				t.Fatalf("before the truncation: %v", err)
			}
			if err := unix.Ftruncate(fd, 0x1000); err != nil {
				t.Fatal(err)
			}
			for range 3 { // again and again
				if err := table.Guard(func() { touch(b) }); !errors.Is(err, ErrFault) {
					t.Fatalf("after the truncation: %v", err)
				}
			}
		})
	}
}

// TestGuardPassesPanics: a fault of this program's own is not the guest's.
func TestGuardPassesPanics(t *testing.T) {
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	var none *Table
	for name, f := range map[string]func(){
		"panic":    func() { panic("mine") },
		"nil":      func() { none.End() },
		"an index": func() { _ = table.guest[7] },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			err := table.Guard(f)
			t.Errorf("%s: %v", name, err)
		}()
	}
}

func BenchmarkGuard(b *testing.B) {
	table, err := NewTable()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		table.Guard(func() { n++ })
	}
}

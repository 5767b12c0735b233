package partition

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/block/spec"
)

// partitioned has nbdkit make a disk of partitions with these contents.
func partitioned(t *testing.T, kind string, contents [][]byte, options ...string) *block.Disk {
	t.Helper()
	dir := t.TempDir()
	args := append([]string{"--exit-with-parent", "-U", "-", "partitioning", "partition-type=" + kind}, options...)
	for i, c := range contents {
		name := filepath.Join(dir, fmt.Sprint("part", i))
		if err := os.WriteFile(name, c, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "file="+name)
	}
	image := filepath.Join(dir, "disk")
	args = append(args, "--run", `nbdcopy "$uri" `+image)
	need.Programs(t, "nbdkit", "nbdcopy")
	if out, err := exec.Command("nbdkit", args...).CombinedOutput(); err != nil {
		t.Fatalf("nbdkit: %v: %s", err, out)
	}
	d, err := spec.Builtin().Open(t.Context(), "file:"+image+",ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestPartitions reads tables that nbdkit wrote, with primary and logical
// partitions.
func TestPartitions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		kind    string
		n       int
		numbers []int
	}{
		{"gpt", 1, []int{1}}, {"gpt", 7, []int{1, 2, 3, 4, 5, 6, 7}},
		{"mbr", 1, []int{1}}, {"mbr", 4, []int{1, 2, 3, 4}}, {"mbr", 7, []int{1, 2, 3, 5, 6, 7, 8}},
	} {
		var contents [][]byte
		for range c.n {
			p := make([]byte, 512*(1+r.IntN(3000)))
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			contents = append(contents, p)
		}
		d := partitioned(t, c.kind, contents)
		all, err := List(d)
		if err != nil || len(all) != c.n {
			t.Errorf("%s of %d: %+v, %v", c.kind, c.n, all, err)
			continue
		}
		for i, p := range all {
			if p.Number != c.numbers[i] {
				t.Errorf("%s of %d: number %d is %+v", c.kind, c.n, c.numbers[i], p)
				continue
			}
			part, err := Open(d, p.Number)
			if err != nil {
				t.Error(err)
				continue
			}
			got := make([]byte, len(contents[i]))
			if size, _ := part.Size(); size != int64(len(got)) {
				t.Errorf("%s of %d: partition %d has %d bytes, want %d", c.kind, c.n, p.Number, size, len(got))
				continue
			}
			if _, err := part.ReadAt(got, 0); err != nil || !bytes.Equal(got, contents[i]) {
				t.Errorf("%s of %d: partition %d is not what it must be (%v)", c.kind, c.n, p.Number, err)
			}
		}
		if _, err := Open(d, 99); err == nil {
			t.Error("there is a partition 99")
		}
	}
}

// TestBackup damages the first GPT: the one at the end is read.
func TestBackup(t *testing.T) {
	d := partitioned(t, "gpt", [][]byte{bytes.Repeat([]byte("backup.."), 1000)})
	size, _ := d.Size()
	m := block.NewMemory(size)
	p := make([]byte, size)
	d.ReadAt(p, 0)
	clear(p[512:1024])
	m.WriteAt(p, 0)
	part, err := Open(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 8)
	if _, err := part.ReadAt(got, 0); err != nil || string(got) != "backup.." {
		t.Errorf("%q, %v", got, err)
	}
}

func TestNoTable(t *testing.T) {
	for _, size := range []int64{0, 512, 1024, 1536, 1 << 20} {
		if all, err := List(block.NewMemory(size)); !errors.Is(err, ErrNoTable) {
			t.Errorf("%d zeroes: %v, %v", size, all, err)
		}
	}
	broken, _ := filter.Fail(block.NewMemory(1<<20), filter.Faults{Rate: 1})
	if _, err := List(broken); err == nil || errors.Is(err, ErrNoTable) {
		t.Errorf("a disk that cannot be read: %v", err)
	}
}

func TestFilter(t *testing.T) {
	set := spec.Builtin().WithFilters(Filter())
	for _, s := range []string{"memory:1M,partition=1", "memory:1M,partition=x", "memory:1M,partition=0"} {
		if d, err := set.Open(t.Context(), s); err == nil {
			d.Close()
			t.Errorf("%s: no error", s)
		}
	}
}

// FuzzList puts hostile sectors where tables are.
func FuzzList(f *testing.F) {
	gpt := make([]byte, 4096)
	copy(gpt[512:], "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00")
	gpt[510], gpt[511] = 0x55, 0xaa
	f.Add(gpt)
	mbr := make([]byte, 4096)
	mbr[510], mbr[511] = 0x55, 0xaa
	mbr[446+4], mbr[446+8], mbr[446+12] = 0x05, 1, 6
	copy(mbr[512:], mbr[:512])
	f.Add(mbr)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := block.NewMemory(64 << 10)
		m.WriteAt(b[:min(len(b), 64<<10)], 0)
		all, err := List(m)
		if err != nil {
			return
		}
		for _, p := range all {
			if p.Off <= 0 || p.Length <= 0 || p.Off+p.Length > 64<<10 {
				t.Errorf("%+v lies not in the disk", p)
			}
		}
	})
}

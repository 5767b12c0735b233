package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
)

// tool runs a program of QEMU, or skips the test where there is none, but not in CI.
func tool(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	path := need.Program(t, name)
	var stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), path, args...)
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out
}

// create has qemu-img make an image with these options.
func create(t testing.TB, name, options string, size int64, backing ...string) {
	t.Helper()
	args := []string{"create", "-q", "-f", "qcow2"}
	if options != "" {
		args = append(args, "-o", options)
	}
	if len(backing) == 2 {
		args = append(args, "-b", backing[0], "-F", backing[1])
	}
	tool(t, "qemu-img", append(args, name, fmt.Sprint(size))...)
}

// scribble has qemu-io write a seeded mixture: data of one byte and of many, zeroes
// with and without room, compressed clusters, discards.
func scribble(t testing.TB, name string, seed uint64, size int64, cluster int64, compress bool) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	noise := make([]byte, 8191)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	file := filepath.Join(t.TempDir(), "noise")
	if err := os.WriteFile(file, noise, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-f", "qcow2", "--cache=unsafe"}
	add := func(format string, a ...any) { args = append(args, "-c", fmt.Sprintf(format, a...)) }
	// QEMU writes no compressed cluster where there is one already: so these are first.
	for n := range min(size/cluster, 24) {
		switch off := n * (size / cluster / min(size/cluster, 24)) * cluster; {
		case !compress || r.IntN(2) == 0:
		case r.IntN(2) == 0:
			add("write -q -c -P %d %d %d", n+100, off, cluster)
		default:
			add("write -q -c -s %s %d %d", file, off, cluster)
		}
	}
	for n := range 25 {
		off := r.Int64N(size/512) * 512
		length := min(512*(1+r.Int64N(3*cluster/512)), size-off)
		switch r.IntN(6) {
		case 0:
			add("write -q -z %d %d", off, length)
		case 1:
			add("write -q -z -u %d %d", off, length)
		case 2:
			add("discard -q %d %d", off, length)
		case 3:
			add("write -q -s %s %d %d", file, off, length)
		default:
			add("write -q -P %d %d %d", n+1, off, length)
		}
	}
	tool(t, "qemu-io", append(args, name)...)
}

// raw has qemu-img read all of an image.
func raw(t testing.TB, name string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "raw")
	tool(t, "qemu-img", "convert", "-q", "-f", "qcow2", "-O", "raw", name, out)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compare reads the image with this package and with QEMU, and its map.
func compare(t testing.TB, name string, c Config) *Image {
	t.Helper()
	i, err := OpenFile(name, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	compareBytes(t, i, raw(t, name))
	compareMap(t, i, name)
	return i
}

// compareBytes reads all, in one read and in random ones by several goroutines.
func compareBytes(t testing.TB, i *Image, want []byte) {
	t.Helper()
	size, _ := i.Size()
	if size != int64(len(want)) {
		t.Fatalf("%d bytes, want %d", size, len(want))
	}
	got := bytes.Repeat([]byte{0xa5}, int(size))
	if n, err := i.ReadAt(got, 0); n != len(got) || err != nil {
		t.Fatal(n, err)
	}
	if at := different(got, want); at >= 0 {
		t.Fatalf("byte %d is %#x, want %#x", at, got[at], want[at])
	}
	done := make(chan error)
	for g := range 4 {
		go func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			var err error
			for range 50 {
				off := r.Int64N(size)
				p := make([]byte, r.Int64N(min(size-off, 50_000))+1)
				if n, e := i.ReadAt(p, off); n != len(p) || e != nil || !bytes.Equal(p, want[off:][:n]) {
					err = fmt.Errorf("read of %d bytes at %d: %d, %v", len(p), off, n, e)
				}
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func different(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// compareMap holds the extents against qemu-img map. That looks into the file for
// holes in data, too, which it tells as data that is zero.
func compareMap(t testing.TB, i *Image, name string) {
	t.Helper()
	var entries []struct {
		Start, Length int64
		Zero, Data    bool
		Offset        *int64
	}
	out := tool(t, "qemu-img", "map", "--output=json", "-f", "qcow2", name)
	if err := json.Unmarshal(out, &entries); err != nil {
		t.Fatal(err)
	}
	d, err := block.NewDisk(i)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := i.Size()
	var ours []block.Extent
	if err := d.Extents(0, size, func(e block.Extent) bool { ours = append(ours, e); return true }); err != nil {
		t.Fatal(err)
	}
	at := int64(0)
	for _, e := range entries {
		if e.Start != at {
			t.Fatalf("qemu-img map: %s", out)
		}
		for end := at + e.Length; at < end; {
			o := ours[0]
			isData := !o.Zero
			if !e.Zero != isData && !e.Data || e.Data && !e.Zero && !isData {
				t.Fatalf("at %d: %+v, and QEMU %+v", at, o, e)
			}
			// What has an offset has room. Of holes in raw files QEMU tells offsets too.
			if i.base == nil && !i.header.External && e.Zero && !e.Data && o.Hole != (e.Offset == nil) {
				t.Fatalf("at %d: %+v, and QEMU %+v, at an offset: %v", at, o, e, e.Offset != nil)
			}
			if o.Off+o.Length <= end {
				at, ours = o.Off+o.Length, ours[1:]
			} else {
				at = end
			}
		}
	}
	if at != size || len(ours) > 0 {
		t.Errorf("the map of QEMU ends at %d of %d, and %v is left", at, size, ours)
	}
}

// TestQEMU has QEMU make images of all kinds and compares what both read.
func TestQEMU(t *testing.T) {
	kinds := map[string]string{
		"v2":          "compat=0.10",
		"v3":          "compat=1.1",
		"zstd":        "compression_type=zstd",
		"metadata":    "preallocation=metadata",
		"falloc":      "preallocation=falloc,refcount_bits=1",
		"full":        "preallocation=full,refcount_bits=64",
		"lazy":        "lazy_refcounts=on,refcount_bits=8",
		"extended":    "extended_l2=on",
		"extendedAll": "extended_l2=on,compression_type=zstd,preallocation=metadata",
	}
	seed := uint64(0) // sizes and contents differ, and are the same in each run
	for _, cluster := range []int64{512, 4 << 10, 64 << 10, 2 << 20} {
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			options := kinds[kind]
			if strings.HasPrefix(kind, "ext") && cluster < 16<<10 || cluster > 64<<10 && strings.Contains(options, "allocation") {
				continue
			}
			seed++
			if testing.Short() && cluster != 512 && cluster != 64<<10 {
				continue
			}
			t.Run(fmt.Sprint(kind, "/", cluster), func(t *testing.T) {
				name := filepath.Join(t.TempDir(), "disk.qcow2")
				size := 1<<20 + 512*int64(seed) + 2*cluster
				create(t, name, fmt.Sprintf("%s,cluster_size=%d", options, cluster), size)
				scribble(t, name, seed, size, cluster, !strings.Contains(options, "allocation"))
				i := compare(t, name, Config{})
				if h := i.Header(); h.ClusterSize != int(cluster) || h.ExtendedL2 != strings.Contains(options, "extended") || (h.Compression == Zstd) != strings.Contains(options, "zstd") {
					t.Errorf("%+v", h)
				}
			})
		}
	}
}

// TestQEMUChain reads chains of files of different kinds and sizes.
func TestQEMUChain(t *testing.T) {
	for _, c := range []struct{ middle, top string }{
		{"compat=0.10", "cluster_size=4096"},
		{"extended_l2=on,cluster_size=32768", "compat=0.10,cluster_size=512"},
		{"compression_type=zstd", "extended_l2=on"},
		{"cluster_size=2M", "extended_l2=on,compression_type=zstd,cluster_size=16384"},
	} {
		t.Run(c.middle+" "+c.top, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "bases"), 0o700); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			b := make([]byte, 1<<20+1536+100) // QEMU takes it for whole sectors
			for i := range b[:len(b)/2] {
				b[i] = byte(r.Uint32())
			}
			if err := os.WriteFile(filepath.Join(dir, "bases", "golden.raw"), b, 0o600); err != nil {
				t.Fatal(err)
			}
			middle, top := filepath.Join(dir, "bases", "middle.qcow2"), filepath.Join(dir, "top.qcow2")
			create(t, middle, c.middle, 2<<20+512, "golden.raw", "raw")
			scribble(t, middle, 7, 1<<20, 64<<10, false)
			create(t, top, c.top, 4<<20, "bases/middle.qcow2", "qcow2")
			scribble(t, top, 8, 4<<20, 16<<10, false)
			for _, n := range []Named{InFolder, Anywhere} {
				i := compare(t, top, Config{Named: n})
				if m, ok := i.Base().Device().(*Image); !ok || m.Base() == nil {
					t.Error("no chain of three")
				}
			}
			// A disk in the place of the file that is named.
			base, err := OpenFile(middle, Config{})
			if err != nil {
				t.Fatal(err)
			}
			compare(t, top, Config{Named: Nowhere, Base: base})
		})
	}
}

// TestQEMUConvert reads an image as distributions ship them: compressed by qemu-img.
func TestQEMUConvert(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, 6<<20+512)
	for at := 0; at < len(b); at += 1 << 16 {
		end := min(at+1<<16, len(b))
		switch r.IntN(4) {
		case 0: // zeroes
		case 1:
			for i := at; i < end; i++ {
				b[i] = byte(r.Uint32())
			}
		default:
			for i := at; i < end; i++ {
				b[i] = "all clusters are compressed "[r.IntN(28)]
			}
		}
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{"compat=0.10", "cluster_size=512", "cluster_size=2M", "compression_type=zstd", "compression_type=zstd,cluster_size=2M", "compression_type=zstd,cluster_size=4096", "extended_l2=on"} {
		t.Run(options, func(t *testing.T) {
			if testing.Short() && strings.Contains(options, "cluster") {
				t.Skip("takes some seconds")
			}
			name := filepath.Join(t.TempDir(), "disk.qcow2")
			tool(t, "qemu-img", "convert", "-q", "-c", "-f", "raw", "-O", "qcow2", "-o", options, plain, name)
			c := Config{}
			if !strings.Contains(options, "2M") {
				c = Config{Tables: 1, Clusters: 1} // caches of one entry
			}
			i, err := OpenFile(name, c)
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			compareBytes(t, i, b)
			compareMap(t, i, name)
		})
	}
}

// TestQEMUDataFile reads an image whose data is in another file.
func TestQEMUDataFile(t *testing.T) {
	for _, options := range []string{"", ",data_file_raw=on", ",extended_l2=on"} {
		t.Run(options, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			create(t, "disk.qcow2", "data_file=disk.data"+options, 3<<20)
			scribble(t, "disk.qcow2", 9, 3<<20, 64<<10, false)
			compare(t, "disk.qcow2", Config{})
			compare(t, filepath.Join(dir, "disk.qcow2"), Config{})
			f, err := block.OpenFile("disk.data", block.FileConfig{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "disk.qcow2", Config{Named: Nowhere, Data: f})
		})
	}
}

// TestQEMUSnapshot ignores internal snapshots and bitmaps.
func TestQEMUSnapshot(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk.qcow2")
	create(t, name, "", 3<<20)
	scribble(t, name, 1, 3<<20, 64<<10, true)
	tool(t, "qemu-img", "snapshot", "-c", "before", name)
	tool(t, "qemu-img", "bitmap", "--add", name, "changes")
	scribble(t, name, 2, 3<<20, 64<<10, false)
	i := compare(t, name, Config{})
	if h := i.Header(); h.Snapshots != 1 || len(h.Notes()) != 1 {
		t.Errorf("%+v, %q", h, h.Notes())
	}
}

// TestQEMUDirty reads an image of which the writer has crashed.
func TestQEMUDirty(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk.qcow2")
	create(t, name, "lazy_refcounts=on", 3<<20)
	c := exec.CommandContext(t.Context(), "qemu-io", "-f", "qcow2", "-c", "write -q -P 5 100k 300k", "-c", "flush", "-c", "abort", name)
	if out, err := c.CombinedOutput(); err == nil {
		t.Fatalf("qemu-io did not abort: %s", out)
	}
	i := compare(t, name, Config{})
	if h := i.Header(); !h.Dirty || len(h.Notes()) != 1 {
		t.Errorf("%+v, %q", h, h.Notes())
	}
}

// TestQEMUEncrypted refuses what it cannot read.
func TestQEMUEncrypted(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk.qcow2")
	tool(t, "qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=abc",
		"-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", name, "1M")
	if _, err := OpenFile(name, Config{}); !errors.Is(err, ErrFeature) || !strings.Contains(err.Error(), "LUKS") {
		t.Error(err)
	}
}

// TestQEMUForeign refuses images of other formats by name.
func TestQEMUForeign(t *testing.T) {
	for format, want := range map[string]string{"vmdk": "VMDK", "vhdx": "VHDX", "vdi": "VDI", "vpc": "VHD", "qed": "QED", "qcow": "version 1", "raw": "no qcow2"} {
		name := filepath.Join(t.TempDir(), "disk")
		tool(t, "qemu-img", "create", "-q", "-f", format, name, "4M")
		if _, err := OpenFile(name, Config{}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// TestQEMULarge reads a disk that is far larger than its file.
func TestQEMULarge(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk.qcow2")
	const size = 1 << 50
	create(t, name, "cluster_size=2M", size)
	tool(t, "qemu-io", "-f", "qcow2", "-c", "write -q -P 5 900T 64k", name)
	i, err := OpenFile(name, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	compareMap(t, i, name)
	p := make([]byte, 4)
	if _, err := i.ReadAt(p, 900<<40+65534); err != nil || !bytes.Equal(p, []byte{5, 5, 0, 0}) {
		t.Error(p, err)
	}
}

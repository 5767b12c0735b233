package image

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/seed-012105e5/gonet/storage/block"
)

var be = binary.BigEndian

// Where a small image has its parts, in clusters.
const (
	atL1 = iota + 1
	atL2
	atData
	atKept
	atCompressed
)

// small makes an image of 40 clusters, of which the first are: data, zeroes without
// and with room, and a compressed cluster.
func small(bits int, features uint64) []byte {
	cluster := 1 << bits
	b := make([]byte, (atCompressed+1)*cluster)
	be.PutUint32(b, magicNumber)
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], uint32(bits))
	be.PutUint64(b[24:], uint64(40*cluster))
	be.PutUint32(b[36:], 1)
	be.PutUint64(b[40:], atL1<<bits)
	be.PutUint64(b[72:], features)
	be.PutUint32(b[96:], 4)
	be.PutUint32(b[100:], 112)
	if features&featureCompression != 0 {
		b[104] = byte(Zstd)
	}
	be.PutUint64(b[atL1<<bits:], atL2<<bits|entryCopied)
	for i := range cluster {
		b[atData<<bits+i] = byte(i*7 + i>>8)
	}
	text := bytes.Repeat([]byte("compressed. "), cluster/12+1)[:cluster]
	n := copy(b[atCompressed<<bits:], pack(text, features&featureCompression != 0))
	entries := []uint64{
		atData<<bits | entryCopied, entryZero, atKept<<bits | entryZero,
		entryCompressed | atCompressed<<bits | uint64((n-1)/sector)<<(62-bits+8),
	}
	bitmaps := []uint64{1<<32 - 1, (1<<32 - 1) << 32, (1<<32 - 1) << 32, 0}
	for i, e := range entries {
		if features&featureExtendedL2 == 0 {
			be.PutUint64(b[atL2<<bits+8*i:], e)
			continue
		}
		be.PutUint64(b[atL2<<bits+16*i:], e&^entryZero)
		be.PutUint64(b[atL2<<bits+16*i+8:], bitmaps[i])
	}
	return b
}

func pack(text []byte, withZstd bool) []byte {
	var b bytes.Buffer
	if withZstd {
		w, _ := zstd.NewWriter(&b)
		w.Write(text)
		w.Close()
	} else {
		w, _ := flate.NewWriter(&b, 9)
		w.Write(text)
		w.Close()
	}
	return b.Bytes()
}

// device is a device of these bytes.
func device(t testing.TB, b []byte) block.Device {
	t.Helper()
	d := block.NewMemory(int64(len(b)))
	if _, err := d.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return d
}

// features are those of images that small makes.
var features = map[string]struct {
	bits int
	set  uint64
}{
	"512":      {9, 0},
	"zstd":     {9, featureCompression},
	"dirty":    {12, featureDirty | featureCorrupt},
	"extended": {14, featureExtendedL2 | featureCompression},
}

func TestSmall(t *testing.T) {
	for name, f := range features {
		t.Run(name, func(t *testing.T) {
			b, cluster := small(f.bits, f.set), 1<<f.bits
			i, err := Open(device(t, b), Config{})
			if err != nil {
				t.Fatal(err)
			}
			want := make([]byte, 40*cluster)
			copy(want, b[atData*cluster:][:cluster])
			copy(want[3*cluster:], bytes.Repeat([]byte("compressed. "), cluster/12+1)[:cluster])
			compareBytes(t, i, want)
			var got []block.Extent
			i.Extents(0, int64(len(want)), func(e block.Extent) bool { got = append(got, e); return true })
			c := int64(cluster)
			expect := []block.Extent{{Length: c}, {Off: c, Length: c, Hole: true, Zero: true}, {Off: 2 * c, Length: c, Zero: true}, {Off: 3 * c, Length: c}, {Off: 4 * c, Length: 36 * c, Hole: true, Zero: true}}
			if len(got) != len(expect) {
				t.Fatal(got)
			}
			for n := range got {
				if got[n] != expect[n] {
					t.Errorf("%+v, want %+v", got[n], expect[n])
				}
			}
			notes := 0
			if name == "dirty" {
				notes = 2 // it is also marked as corrupt
			}
			if h := i.Header(); len(h.Notes()) != notes {
				t.Errorf("%q", h.Notes())
			}
		})
	}
}

// put sets bytes of an image.
type put struct {
	at    int
	value any
}

// TestHostile changes one thing in an image, and wants the error that says so.
func TestHostile(t *testing.T) {
	const l2 = atL2 * 512
	extension := func(kind, n uint32, data string) string {
		return string(be.AppendUint32(be.AppendUint32(nil, kind), n)) + data
	}
	for _, c := range []struct {
		name   string
		change []put
		err    error
		text   string
	}{
		{"empty magic", []put{{0, uint32(0)}}, ErrFormat, ""},
		{"qcow1", []put{{4, uint32(1)}}, ErrFormat, "version 1"},
		{"vmdk", []put{{0, "KDMV"}}, ErrFormat, "VMDK"},
		{"vhdx", []put{{0, "vhdxfile"}}, ErrFormat, "VHDX"},
		{"version", []put{{4, uint32(4)}}, ErrFeature, "version 4"},
		{"cluster bits", []put{{20, uint32(8)}}, ErrCorrupt, "2^8"},
		{"cluster bits", []put{{20, uint32(22)}}, ErrCorrupt, "2^22"},
		{"cluster bits", []put{{20, uint32(math.MaxUint32)}}, ErrCorrupt, ""},
		{"AES", []put{{32, uint32(1)}}, ErrFeature, "encryption (AES)"},
		{"LUKS", []put{{32, uint32(2)}}, ErrFeature, "encryption (LUKS)"},
		{"size", []put{{24, uint64(1 << 63)}}, ErrCorrupt, "a disk of"},
		{"size", []put{{24, uint64(1<<63 - 1)}}, ErrFeature, "L1 table of more"},
		{"no bytes", []put{{24, uint64(0)}, {36, uint32(0)}}, nil, ""},
		{"L1 size", []put{{36, uint32(0)}}, ErrCorrupt, "0 entries"},
		{"L1 size", []put{{24, uint64(64 << 20)}}, ErrCorrupt, "1 entries"},
		{"L1 behind the end", []put{{24, uint64(64 << 20)}, {36, uint32(math.MaxUint32)}}, ErrCorrupt, "L1 table"},
		{"L1 not aligned", []put{{40, uint64(513)}}, ErrCorrupt, "L1 table"},
		{"L1 behind the end", []put{{40, uint64(6 * 512)}}, ErrCorrupt, "L1 table"},
		{"L1 far away", []put{{40, uint64(math.MaxUint64 &^ 511)}}, ErrCorrupt, "L1 table"},
		{"header length", []put{{100, uint32(96)}}, ErrCorrupt, "header of 96"},
		{"header length", []put{{100, uint32(109)}}, ErrCorrupt, "header of 109"},
		{"header length", []put{{100, uint32(math.MaxUint32 - 7)}}, ErrCorrupt, "header of"},
		{"reference counts", []put{{96, uint32(7)}}, ErrCorrupt, "2^7"},
		{"snapshots", []put{{60, uint32(math.MaxUint32)}}, ErrCorrupt, "snapshots"},
		{"compression bit", []put{{72, uint64(featureCompression)}}, ErrCorrupt, "compression type"},
		{"compression type", []put{{104, uint8(1)}}, ErrCorrupt, "compression type"},
		{"compression type", []put{{72, uint64(featureCompression)}, {104, uint8(2)}}, ErrFeature, "compression type 2"},
		{"extended L2 in small clusters", []put{{72, uint64(featureExtendedL2)}}, ErrCorrupt, "extended L2"},
		{"feature", []put{{72, uint64(1 << 63)}}, ErrFeature, "incompatible feature 63"},
		{"named feature", []put{{72, uint64(1 << 5)}, {112, extension(extensionFeatureNames, 48, "\x00\x05time travel")}}, ErrFeature, `5 ("time travel")`},
		{"extension", []put{{112, extension(77, math.MaxUint32, "")}}, ErrCorrupt, "extension of 4294967295"},
		{"extension", []put{{112, extension(77, 512-119, "")}}, ErrCorrupt, "extension of 393"},
		{"backing name", []put{{8, uint64(100)}, {16, uint32(5)}}, ErrCorrupt, "backing file"},
		{"backing name", []put{{8, uint64(500)}, {16, uint32(13)}}, ErrCorrupt, "backing file"},
		{"backing name", []put{{8, uint64(math.MaxUint64)}, {16, uint32(2)}}, ErrCorrupt, "backing file"},
		{"backing name", []put{{8, uint64(200)}, {16, uint32(1024)}}, ErrCorrupt, "1024"},
		{"backing name of zeroes", []put{{8, uint64(200)}, {16, uint32(5)}}, ErrCorrupt, "byte of zero"},
		{"backing file of no folder", []put{{8, uint64(200)}, {16, uint32(5)}, {200, "b.img"}}, ErrNamed, `"b.img"`},
		{"data file without name", []put{{72, uint64(featureExternal)}}, ErrNamed, "no name"},
		{"data file", []put{{72, uint64(featureExternal)}, {112, extension(extensionDataFile, 5, "d.img")}}, ErrNamed, `"d.img"`},
		{"L2 not aligned", []put{{atL1 * 512, uint64(l2 + 512*0x10000000000)}}, ErrCorrupt, "L2 table"},
		{"L2 behind the end", []put{{atL1 * 512, uint64(6 * 512)}}, ErrCorrupt, "L2 table"},
		{"L2 far away", []put{{atL1 * 512, uint64(math.MaxUint64)}}, ErrCorrupt, "L2 table"},
		{"cluster behind the end", []put{{l2, uint64(6 * 512)}}, ErrCorrupt, "behind the end"},
		{"cluster far away", []put{{l2, uint64(entryOffset)}}, ErrCorrupt, "behind the end"},
		{"zeroes in version 2", []put{{4, uint32(2)}}, ErrCorrupt, "version 2"},
		{"compressed behind the end", []put{{l2, uint64(entryCompressed | 6*512)}}, ErrCorrupt, "behind the end"},
		{"compressed far away", []put{{l2, uint64(math.MaxUint64)}}, ErrCorrupt, "behind the end"},
		{"compressed noise", []put{{atCompressed * 512, uint64(math.MaxUint64)}}, ErrCorrupt, "compressed cluster at"},
		{"compressed too short", []put{{atCompressed * 512, string(pack([]byte("short"), false))}}, ErrCorrupt, "too short"},
		{"reads of no end", []put{{atL1 * 512, uint64(atL1 * 512)}}, nil, ""}, // the L1 table as an L2 table
	} {
		t.Run(c.name, func(t *testing.T) {
			b := small(9, 0)
			change(b, c.change)
			err := readAll(t, b)
			if !errors.Is(err, c.err) || c.err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %v and %q", err, c.err, c.text)
			}
		})
	}
	t.Run("subcluster in two states", func(t *testing.T) {
		b := small(14, featureExtendedL2)
		change(b, []put{{atL2<<14 + 8, uint64(math.MaxUint64)}})
		if err := readAll(t, b); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "two states") {
			t.Error(err)
		}
	})
	t.Run("window of zstd", func(t *testing.T) {
		b := small(9, featureCompression)
		change(b, []put{{atCompressed * 512, "\x28\xb5\x2f\xfd\x00\xa0"}}) // 1 GB
		if err := readAll(t, b); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "window") {
			t.Error(err)
		}
	})
	t.Run("cut short", func(t *testing.T) {
		b := small(9, 0)
		for n := range len(b) {
			err := readAll(t, b[:n])
			if n < atCompressed*512 && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
				t.Fatalf("of %d bytes: %v", n, err)
			}
		}
	})
}

func change(b []byte, all []put) {
	for _, p := range all {
		switch v := p.value.(type) {
		case uint8:
			b[p.at] = v
		case uint32:
			be.PutUint32(b[p.at:], v)
		case uint64:
			be.PutUint64(b[p.at:], v)
		case string:
			copy(b[p.at:], v)
		}
	}
}

// readAll opens an image and reads at most 1 MB of it and its extents. It fails the
// test if the two contradict each other.
func readAll(t testing.TB, b []byte) error {
	t.Helper()
	i, err := Open(device(t, b), Config{Tables: 64 << 10, Clusters: 64 << 10})
	if err != nil {
		return err
	}
	defer i.Close()
	size, _ := i.Size()
	size = min(size, 1<<20)
	p := bytes.Repeat([]byte{0xa5}, int(size))
	if n, err := i.ReadAt(p, 0); err != nil || n != len(p) {
		if err == nil {
			t.Errorf("%d of %d bytes without an error", n, len(p))
		}
		return err
	}
	at := int64(0)
	err = i.Extents(0, size, func(e block.Extent) bool {
		if e.Off != at || e.Length <= 0 || e.Hole && !e.Zero || e.Zero && len(bytes.Trim(p[at:at+e.Length], "\x00")) > 0 {
			t.Errorf("%+v at %d", e, at)
		}
		at += e.Length
		return true
	})
	if err != nil || at != size {
		t.Errorf("extents of %d bytes, of %d: %v", at, size, err)
	}
	return nil
}

// FuzzImage reads whole small images that are changed. The parts of an image are at the
// start of clusters of their own, so that what the fuzzer changes is not mostly zeroes.
func FuzzImage(f *testing.F) {
	for _, s := range features {
		b, cluster := small(s.bits, s.set), 1<<s.bits
		part := func(at, n int) []byte { return b[at*cluster:][:n] }
		f.Add(part(0, 160), part(atL1, 16), part(atL2, 64), part(atCompressed, 128))
	}
	f.Fuzz(func(t *testing.T, header, l1, l2, packed []byte) {
		cluster := 512
		if bits, err := clusterBits(header); err == nil {
			cluster = 1 << min(bits, 16) // larger ones are behind the end
		}
		b := make([]byte, (atCompressed+1)*cluster)
		for at, part := range map[int][]byte{0: header, atL1: l1, atL2: l2, atCompressed: packed} {
			copy(b[at*cluster:][:cluster], part)
		}
		readAll(t, b)
	})
}

// named makes an image that names a backing file.
func named(t *testing.T, file, backing, format string) {
	t.Helper()
	b := small(9, 0)
	x := be.AppendUint32(be.AppendUint32(nil, extensionBackingFormat), uint32(len(format)))
	if format != "" {
		copy(b[112:], append(x, format...))
	}
	be.PutUint64(b[8:], 200)
	be.PutUint32(b[16:], uint32(len(backing)))
	copy(b[200:], backing)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNamed opens images that name files they may and may not name.
func TestNamed(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	for _, f := range []string{secret, filepath.Join(dir, "base")} {
		if err := os.WriteFile(f, bytes.Repeat([]byte("b"), 40*512), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(secret, filepath.Join(dir, "link")), os.Mkdir(filepath.Join(dir, "sub"), 0o700)); err != nil {
		t.Fatal(err)
	}
	up, err := filepath.Rel(dir, secret)
	if err != nil {
		t.Fatal(err)
	}
	top := filepath.Join(dir, "top")
	for _, c := range []struct {
		backing, format string
		named           Named
		want            string // of the error, or empty
	}{
		{"base", "raw", InFolder, ""},
		{"base", "", InFolder, ""},
		{"file:base", "raw", InFolder, ""},
		{"./sub/../base", "raw", InFolder, ""},
		{filepath.Join(dir, "base"), "raw", InFolder, ""},
		{"base", "raw", Nowhere, "may name no files"},
		{secret, "raw", InFolder, "not in the folder"},
		{up, "raw", InFolder, "escapes"},
		{"link", "raw", InFolder, "escapes"},
		{dir + "/../" + filepath.Base(outside) + "/secret", "raw", InFolder, "escapes"},
		{secret, "raw", Anywhere, ""},
		{up, "raw", Anywhere, ""},
		{"link", "raw", Anywhere, ""},
		{"none", "raw", InFolder, "no such file"},
		{"sub", "raw", InFolder, "neither a regular file"},
		{"/dev/zero", "raw", Anywhere, "neither a regular file"},
		{"base", "vmdk", InFolder, `"vmdk"`},
		{"base", "qcow2", InFolder, "no qcow2 image"},
		{"nbd://server/x", "raw", Anywhere, `the protocol "nbd"`},
		{"json:{}", "raw", Anywhere, `the protocol "json"`},
		{"top", "qcow2", InFolder, "comes back"},
		{"./sub/../top", "", Anywhere, "comes back"},
	} {
		named(t, top, c.backing, c.format)
		i, err := OpenFile(top, Config{Named: c.named})
		if c.want != "" {
			if err == nil {
				i.Close()
			}
			if !errors.Is(err, ErrNamed) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		p := make([]byte, 2)
		if _, err := i.ReadAt(p, 39*512); err != nil || string(p) != "bb" {
			t.Errorf("%+v: %q, %v", c, p, err)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNamedByLink reads a chain of names that lead through a symbolic link and up from
// where it leads to.
func TestNamedByLink(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(os.MkdirAll(in("real/deep"), 0o700), os.Symlink("real/deep", in("link")),
		os.WriteFile(in("real/golden"), bytes.Repeat([]byte("b"), 40*512), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	named(t, in("top"), "link/../middle", "qcow2")
	named(t, in("real/middle"), "golden", "raw")
	for _, name := range []string{in("top"), in("real") + "/../top"} {
		for _, n := range []Named{InFolder, Anywhere} {
			i, err := OpenFile(name, Config{Named: n})
			if err != nil {
				t.Errorf("%s, %d: %v", name, n, err)
				continue
			}
			p := make([]byte, 2)
			if _, err := i.ReadAt(p, 39*512); err != nil || string(p) != "bb" {
				t.Errorf("%q, %v", p, err)
			}
			i.Close()
		}
	}
}

// TestLoop opens chains that come back to an image, or are too long.
func TestLoop(t *testing.T) {
	dir := t.TempDir()
	file := func(n int) string { return filepath.Join(dir, string(rune('a'+n))) }
	for n := range 9 {
		named(t, file(n), string(rune('a'+n+1)), "qcow2")
	}
	if err := os.WriteFile(file(9), small(9, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	if i, err := OpenFile(file(0), Config{Depth: 10}); err != nil {
		t.Error(err)
	} else if err := i.Close(); err != nil {
		t.Error(err)
	}
	if _, err := OpenFile(file(0), Config{Depth: 9}); !errors.Is(err, ErrNamed) || !strings.Contains(err.Error(), "more than 9") {
		t.Error(err)
	}
	named(t, file(9), "d", "qcow2")
	if _, err := OpenFile(file(0), Config{}); !errors.Is(err, ErrNamed) || !strings.Contains(err.Error(), "comes back") {
		t.Error(err)
	}
}

// closes counts calls of Close.
type closes struct {
	block.Device
	n int
}

func (c *closes) Close() error { c.n++; return nil }

// TestGiven closes the disks that are given with the image, and not after an error.
func TestGiven(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk")
	named(t, file, "golden", "raw")
	base := &closes{Device: block.NewMemory(512)}
	if _, err := OpenFile(file, Config{Base: base, Data: base}); !errors.Is(err, ErrNamed) || base.n != 0 {
		t.Error(err, base.n)
	}
	i, err := OpenFile(file, Config{Base: base, Named: Nowhere})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil || base.n != 1 {
		t.Error(err, base.n)
	}
}

// TestContracts is what devices promise.
func TestContracts(t *testing.T) {
	i, err := Open(device(t, small(9, 0)), Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 2)
	for _, off := range []int64{-1, 40*512 - 1, math.MaxInt64} {
		if n, err := i.ReadAt(p, off); n != 0 || !errors.Is(err, block.ErrRange) {
			t.Error(off, n, err)
		}
	}
	if _, err := i.WriteAt(p, 0); !errors.Is(err, block.ErrReadOnly) || !i.ReadOnly() {
		t.Error(err)
	}
	if n, err := i.ReadAt(nil, 40*512); n != 0 || err != nil {
		t.Error(n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := i.ReadAtContext(ctx, p, 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := i.ExtentsContext(ctx, 0, 512, func(block.Extent) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	calls := 0
	if err := i.Extents(0, 40*512, func(block.Extent) bool { calls++; return false }); calls != 1 || err != nil {
		t.Error(calls, err)
	}
}

// TestCacheBounds holds the caches to their limits, whatever is read.
func TestCacheBounds(t *testing.T) {
	c := newCache(1000)
	for n := range uint64(100) {
		b, err := c.get(key{0, partL2, n}, 300, func() ([]byte, error) { return []byte{byte(n)}, nil })
		if err != nil || b[0] != byte(n) || c.used > 1000 || len(c.entries) > 3 || c.order.Len() != len(c.entries) {
			t.Fatal(n, b, err, c.used, len(c.entries))
		}
	}
	if b, _ := c.get(key{0, partL2, 99}, 300, nil); b[0] != 99 {
		t.Error("what was used last is gone")
	}
	failed := errors.New("failed")
	if _, err := c.get(key{1, partL2, 0}, 300, func() ([]byte, error) { return nil, failed }); err != failed || len(c.entries) != 2 || c.used != 600 {
		t.Error(err, len(c.entries), c.used)
	}
}

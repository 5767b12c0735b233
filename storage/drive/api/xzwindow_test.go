package api

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// packXZ compresses data, in one block or in blocks of some size.
func packXZ(t testing.TB, data []byte, c xz.WriterConfig) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := c.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// mixed is data of which some can be compressed and some cannot.
func mixed(size int) []byte {
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{7})
	for off := 0; off < size; off += 100 << 10 {
		r.Read(data[off:min(off+40<<10, size)])
	}
	return data
}

// TestXZWindow has files go through that have several blocks and streams, padding, each
// kind of check, in pieces of any length; and has blocks with a large dictionary refused,
// wherever they are.
func TestXZWindow(t *testing.T) {
	data := mixed(300 << 10)
	var whole []byte
	var parts [][]byte
	for _, c := range []xz.WriterConfig{
		{CheckSum: xz.CRC32, DictCap: 1 << 20}, {CheckSum: xz.CRC64, BlockSize: 100000, DictCap: 1 << 16}, {CheckSum: xz.SHA256, BlockSize: 70001, DictCap: 1 << 16}, {NoCheckSum: true, DictCap: 3 << 16}, {BlockSize: 9999, DictCap: 1 << 16},
	} {
		one := packXZ(t, data, c)
		parts = append(parts, one)
		whole = append(append(whole, one...), make([]byte, 4*len(parts))...)
	}
	r := rand.New(rand.NewPCG(3, 3))
	for i, file := range append(parts, whole, packXZ(t, nil, xz.WriterConfig{})) {
		want := data
		if i == len(parts) {
			want = bytes.Repeat(data, len(parts))
		} else if i > len(parts) {
			want = nil
		}
		u, _, err := unpack(&pieces{bytes.NewReader(file), r}, "xz")
		if err != nil {
			t.Fatalf("file %d: %v", i, err)
		}
		if got, err := io.ReadAll(u); err != nil || !bytes.Equal(got, want) {
			t.Errorf("file %d: %d of %d bytes, %v", i, len(got), len(want), err)
		}
	}
	for name, file := range map[string][]byte{
		"the first block":      dictionary(parts[0], 0, 29),
		"4 GiB":                dictionary(parts[0], 0, 40),
		"the third block":      dictionary(parts[1], 2, 29),
		"after another stream": append(bytes.Clone(parts[2]), dictionary(parts[1], 1, 30)...),
	} {
		u, _, err := unpack(&pieces{bytes.NewReader(file), r}, "auto")
		if err == nil {
			_, err = io.Copy(io.Discard, u)
		}
		if !errors.Is(err, errWindow) {
			t.Errorf("a large dictionary in %s: %v", name, err)
		}
	}
}

// pieces reads pieces of any length.
type pieces struct {
	io.Reader
	r *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	return p.Reader.Read(b[:min(len(b), 1+p.r.IntN(1+p.r.IntN(5000)))])
}

// dictionary sets the size of the dictionary of a block, in its header.
func dictionary(file []byte, block int, code byte) []byte {
	file = bytes.Clone(file)
	x := newXZWindow(nil, maxWindow)
	for i := range file {
		if x.state == xzBlock && x.skip == 0 && file[i] != 0 {
			if block == 0 {
				h := file[i : i+4*(int(file[i])+1)]
				at := bytes.Index(h, []byte{0x21, 1})
				h[at+2] = code
				binary.LittleEndian.PutUint32(h[len(h)-4:], crc32.ChecksumIEEE(h[:len(h)-4]))
				return file
			}
			block--
		}
		if err := x.look(file[i : i+1]); err != nil {
			panic(err)
		}
	}
	panic("there is no such block")
}

// FuzzXZWindow has any file be read: what the reader takes goes through.
func FuzzXZWindow(f *testing.F) {
	f.Add(packXZ(f, []byte("hello"), xz.WriterConfig{DictCap: 4096}))
	f.Add(packXZ(f, mixed(3000), xz.WriterConfig{BlockSize: 1000, CheckSum: xz.SHA256, DictCap: 4096}))
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 1<<16 {
			return
		}
		const most = 1 << 16
		if x := newXZWindow(nil, most); errors.Is(x.look(file), errWindow) {
			return // nothing to give to the reader alone
		}
		read := func(r io.Reader) (text []byte, err error) {
			u, err := xz.ReaderConfig{DictCap: 4096}.NewReader(r)
			if err != nil {
				return nil, err
			}
			return io.ReadAll(io.LimitReader(u, 1<<20))
		}
		guarded, err := read(newXZWindow(bytes.NewReader(file), most))
		if plain, e := read(bytes.NewReader(file)); e == nil && (err != nil || !bytes.Equal(plain, guarded)) {
			t.Errorf("the reader takes %d bytes, and through the window %d come, %v", len(plain), len(guarded), err)
		}
	})
}

// TestWindows uploads files whose windows are too large, and bombs: small files that become
// large. Each has its error, and nothing is left.
func TestWindows(t *testing.T) {
	const most = 2 << 20
	bomb := make([]byte, 3*most)
	var gz bytes.Buffer
	if err := packGzip(&gz, bomb); err != nil {
		t.Fatal(err)
	}
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bombs := map[string][]byte{"xz": packXZ(t, bomb, xz.WriterConfig{}), "zst": packer.EncodeAll(bomb, nil), "gz": gz.Bytes()}
	for limit, c := range map[string]struct {
		change func(*imagestore.Config)
		query  string
		status int
		name   string
	}{
		"the size that the client gives": {func(*imagestore.Config) {}, "&size=1000000", 400, "MsdSizeError"},
		"the size of an image":           {func(s *imagestore.Config) { s.MaxSize = most }, "", 413, "TooLargeError"},
		"the quota":                      {func(s *imagestore.Config) { s.Quota = most }, "", 507, "MsdQuotaError"},
	} {
		w := newWorld(t, func(s *imagestore.Config, _ *drive.Config, _ *Config) { c.change(s) })
		for how, body := range bombs {
			if len(body) > 100<<10 {
				t.Fatalf("the bomb of %s has %d bytes", how, len(body))
			}
			w.refused("POST /msd/write?remove_incomplete=1&image=bomb.img&compressed="+how+c.query, bytes.NewReader(body), c.status, c.name)
		}
		if state := w.must("GET /msd", nil); len(at(state, "storage", "images").(map[string]any)) != 0 {
			t.Errorf("bounded by %s: there is %v", limit, at(state, "storage", "images"))
		}
	}
	w := newWorld(t)
	large := map[string][]byte{
		"xz":  dictionary(packXZ(t, []byte("hello"), xz.WriterConfig{}), 0, 31),
		"zst": []byte("\x28\xb5\x2f\xfd\x00\x90\x29\x00\x00hello"), // RFC 8878, section 3.1.1: a window of 2^28 bytes, a raw block
	}
	for how, body := range large {
		for _, how := range []string{how, "auto"} {
			text := w.refused("POST /msd/write?remove_incomplete=1&image=w.img&compressed="+how, bytes.NewReader(body), 413, "TooLargeError")
			if !strings.Contains(text, "window") {
				t.Errorf("%s: the message is %q", how, text)
			}
		}
	}
	for range maxUnpacking {
		w.api.unpack <- struct{}{}
	}
	w.refused("POST /msd/write?image=x.img&compressed=xz", strings.NewReader("x"), 503, "UnavailableError")
	w.must("POST /msd/write?image=y.img&compressed=none", strings.NewReader("y"))
}

func packGzip(to io.Writer, data []byte) error {
	w := gzip.NewWriter(to)
	_, err := w.Write(data)
	return errors.Join(err, w.Close())
}

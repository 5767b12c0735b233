package block_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

// goNBDBackend has the methods of a Backend of github.com/pojntfx/go-nbd.
type goNBDBackend interface {
	ReadAt(p []byte, off int64) (n int, err error)
	WriteAt(p []byte, off int64) (n int, err error)
	Size() (int64, error)
	Sync() error
}

var (
	_ block.Device = goNBDBackend(nil) // theirs fits here
	_ goNBDBackend = block.Device(nil) // and ours there
	_ goNBDBackend = (*block.Disk)(nil)
)

// A seeker has a position, and nothing else of a file.
type seeker struct{ io.ReadWriteSeeker }

// A readerWriterAt tells its size by Len.
type readerWriterAt struct {
	io.ReaderAt
	io.WriterAt
}

func (readerWriterAt) Len() int { return 1 << 20 }

func TestAdapt(t *testing.T) {
	content := bytes.Repeat([]byte("content "), 20000)
	file := func(t *testing.T) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(1 << 20); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	for _, c := range []struct {
		name     string
		make     func(t *testing.T) any
		readOnly bool
	}{
		{"Bytes", func(*testing.T) any { return make([]byte, 1<<20+1) }, false},
		{"File", func(t *testing.T) any { return file(t) }, false},
		{"ReadWriteSeeker", func(t *testing.T) any { return seeker{file(t)} }, false},
		{"ReaderAtWriterAt", func(t *testing.T) any { f := file(t); return readerWriterAt{f, f} }, false},
		{"BytesReader", func(*testing.T) any { return bytes.NewReader(content) }, true},
		{"StringsReader", func(*testing.T) any { return strings.NewReader(string(content)) }, true},
		{"SectionReader", func(*testing.T) any { return io.NewSectionReader(bytes.NewReader(content), 5, 100000) }, true},
		{"ReadSeeker", func(*testing.T) any { return struct{ io.ReadSeeker }{bytes.NewReader(content)} }, true},
		{"Device", func(*testing.T) any { return block.NewMemory(1 << 20) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			blocktest.TestDevice(t, func(t *testing.T) block.Device {
				dev, err := block.Adapt(c.make(t))
				if err != nil {
					t.Fatal(err)
				}
				if d, _ := block.NewDisk(dev); d.ReadOnly() != c.readOnly {
					t.Errorf("read-only: %v", d.ReadOnly())
				}
				return dev
			})
		})
	}
}

func TestAdaptRefuses(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{&bytes.Buffer{}, "has no position"},
		{struct{ io.Reader }{}, "cannot be read at an offset"},
		{struct{ io.ReaderAt }{strings.NewReader("")}, "does not tell its size"},
		{nil, "cannot be read at an offset"},
	} {
		if _, err := block.Adapt(c.v); !errors.Is(err, block.ErrNotSupported) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a %T: %v", c.v, err)
		}
	}
}

// TestAdaptSync has the error of the thing's own Sync reach the user.
func TestAdaptSync(t *testing.T) {
	d, err := block.Adapt(struct {
		io.ReadSeeker
		failing
	}{bytes.NewReader(nil), failing{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Sync(); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Sync() error { return io.ErrClosedPipe }

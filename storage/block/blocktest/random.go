package blocktest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A contents is what the first bytes of a device hold. After a trim a byte is what
// it was or zero, until it has been read.
type contents struct {
	bytes   []byte
	trimmed []bool
}

func (c *contents) set(off int64, p []byte) {
	copy(c.bytes[off:], p)
	clear(c.trimmed[off:][:len(p)])
}

func (c *contents) trim(off, length int64) {
	for i := off; i < off+length; i++ {
		c.trimmed[i] = true
	}
}

// check holds p, which was read at off, against the contents, and returns where
// they differ, or -1.
func (c *contents) check(p []byte, off int64) int {
	if bytes.Equal(p, c.bytes[off:][:len(p)]) {
		clear(c.trimmed[off:][:len(p)])
		return -1
	}
	for i, b := range p {
		at := off + int64(i)
		if b != c.bytes[at] && !(c.trimmed[at] && b == 0) {
			return i
		}
		c.bytes[at], c.trimmed[at] = b, false
	}
	return -1
}

// testRandom makes random calls and holds what is read against a model.
func testRandom(t *testing.T, d *block.Disk, size int64) {
	size = min(size, 1<<20)
	c := &contents{make([]byte, size), make([]bool, size)}
	if _, err := d.ReadAt(c.bytes, 0); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 4))
	buffer := make([]byte, size)
	calls := 600
	if testing.Short() {
		calls = 150
	}
	for range calls {
		off := r.Int64N(size)
		length := r.Int64N(1 + min(size-off, 1<<(2+r.IntN(18))))
		if r.IntN(3) == 0 {
			off, length = off&^4095, length&^4095
		}
		p := buffer[:length]
		var err error
		what := r.IntN(16)
		switch what {
		case 0, 1, 2, 3, 4:
			fillRandom(r, p)
			c.set(off, p)
			_, err = d.WriteAt(p, off)
		case 5:
			fillRandom(r, p)
			c.set(off, p)
			_, err = d.WriteAtFUA(p, off)
		case 6:
			c.trim(off, length)
			err = d.Trim(off, length)
		case 7, 8:
			clear(p)
			c.set(off, p)
			err = d.WriteZeroes(off, length, []block.ZeroFlags{0, block.ZeroNoHole, block.ZeroFUA}[r.IntN(3)])
		case 9:
			err = d.Sync()
		case 10:
			err = d.Prefetch(off, length)
		case 11:
			checkExtents(t, d, off, length)
		default:
			_, err = d.ReadAt(p, off)
			if i := c.check(p, off); err == nil && i >= 0 {
				t.Fatalf("of %d bytes at %d, number %d is %d, and %d was written", length, off, i, p[i], c.bytes[off+int64(i)])
			}
		}
		if err != nil {
			t.Fatalf("call %d, of %d bytes at %d: %v", what, length, off, err)
		}
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadAt(buffer, 0); err != nil {
		t.Fatal(err)
	}
	if i := c.check(buffer, 0); i >= 0 {
		t.Fatalf("at the end byte %d is %d, and %d was written", i, buffer[i], c.bytes[i])
	}
}

// fillRandom makes p a run of one random byte, or of many.
func fillRandom(r *rand.Rand, p []byte) {
	b := byte(r.Uint32())
	for i := range p {
		if p[i] = b; i%64 == 0 {
			b += byte(r.Uint32()) | 1
		}
	}
}

// testZeroes writes zeroes with each flag over data, at all alignments.
func testZeroes(t *testing.T, d *block.Disk, size int64) {
	const length = 20000
	base := (size - length) / 2
	p, got := bytes.Repeat([]byte{0xaa}, length), make([]byte, length)
	for _, flags := range []block.ZeroFlags{0, block.ZeroNoHole, block.ZeroFUA, block.ZeroFast, block.ZeroFast | block.ZeroNoHole | block.ZeroFUA} {
		for _, c := range []struct{ from, to int }{{0, length}, {1, 2}, {511, 8193}, {4096, 12288}, {3, length - 3}, {7, 7}} {
			if _, err := d.WriteAt(p, base); err != nil {
				t.Fatal(err)
			}
			err := d.WriteZeroes(base+int64(c.from), int64(c.to-c.from), flags)
			want := bytes.Clone(p)
			if err == nil {
				clear(want[c.from:c.to])
			} else if flags&block.ZeroFast == 0 || !isNotSupported(err) {
				t.Fatalf("flags %d: %v", flags, err)
			}
			if _, err := d.ReadAt(got, base); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("zeroes %d to %d with flags %d (%v) are not just there", c.from, c.to, flags, err)
			}
		}
	}
}

func isNotSupported(err error) bool { return errors.Is(err, block.ErrNotSupported) }

package scsi

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestModel runs random commands on a disk and on a slice of bytes, which must agree.
func TestModel(t *testing.T) {
	for _, block := range []int{512, 4096} {
		rnd := rand.New(rand.NewPCG(1, uint64(block)))
		r := newRig(t, UnitConfig{BlockSize: block})
		count := uint64(testBlocks * 512 / block)
		model := make([]byte, testBlocks*512)
		rounds := 3000
		if testing.Short() {
			rounds = 300
		}
		for range rounds {
			n := 1 + rnd.Uint64N(20)
			lba := rnd.Uint64N(count - n + 1)
			part := model[lba*uint64(block) : (lba+n)*uint64(block)]
			out := make([]byte, len(part))
			for i := range out {
				out[i] = byte(rnd.Uint32())
			}
			if rnd.IntN(4) == 0 {
				clear(out)
			}
			op := []byte{0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e}[rnd.IntN(6)]
			switch rnd.IntN(8) {
			case 0:
				r.good(blocks(op, lba, n), out, 0)
				copy(part, out)
			case 1:
				r.good(blocks(0x93, lba, n), out[:block], 0)
				for i := range n {
					copy(part[i*uint64(block):], out[:block])
				}
			case 2:
				r.good(set(blocks(0x93, lba, n), 1), nil, 0)
				clear(part)
			case 3:
				list := append([]byte{0, 22, 0, 16, 0, 0, 0, 0}, be64(lba)...)
				list = append(append(list, be32(uint32(n))...), 0, 0, 0, 0)
				r.good(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), list, 0)
				clear(part)
			case 4:
				r.good(blocks(0x8b, lba, n), out, 0)
				for i := range part {
					part[i] |= out[i]
				}
			case 5:
				r.good(blocks(0x89, lba, n), append(bytes.Clone(part), out...), 0)
				copy(part, out)
			case 6:
				at := rnd.IntN(len(part))
				old := bytes.Clone(part)
				old[at] ^= 1 << rnd.IntN(8)
				want := Sense{Key: Miscompare, Code: CodeMiscompare, HasInformation: true, Information: uint64(at)}
				r.fails(blocks(0x89, lba, n), append(old, out...), 0, want)
				want.Information = lba + uint64(at/block)
				r.fails(set(blocks(0x2f, lba, n), 2), old, 0, want)
				r.good(set(blocks(0x2f, lba, n), 2), part, 0)
			}
			op = []byte{0x28, 0xa8, 0x88}[rnd.IntN(3)]
			if p := r.good(blocks(op, lba, n), nil, len(part)); !bytes.Equal(p, part) {
				t.Fatalf("blocks %d to %d are others", lba, lba+n)
			}
		}
		if p := make([]byte, len(model)); true {
			if _, err := r.device.ReadAt(p, 0); err != nil || !bytes.Equal(p, model) {
				t.Fatalf("the device holds something else: %v", err)
			}
		}
	}
}

// TestSixBytes: no blocks are 256 in READ(6) and WRITE(6).
func TestSixBytes(t *testing.T) {
	r := newRig(t, UnitConfig{})
	p := pattern(256*512, 3)
	r.good(blocks(0x0a, 100, 0), p, 0)
	if got := r.good(blocks(0x08, 100, 0), nil, len(p)); !bytes.Equal(got, p) {
		t.Error("the blocks are others")
	}
}

// TestResiduals gives commands less and more room than they use.
func TestResiduals(t *testing.T) {
	r := newRig(t, UnitConfig{})
	p := pattern(4*512, 1)
	r.good(blocks(0x2a, 0, 4), p, 0)
	for _, n := range []int{0, 200, 512, 700, 2048, 10000} {
		got := r.good(blocks(0x28, 0, 4), nil, n)
		if !bytes.Equal(got, p[:min(n, 2048)]) || r.task.Transferred != 2048 {
			t.Errorf("a read into %d bytes: %d, transferred %d", n, len(got), r.task.Transferred)
		}
	}
	for _, c := range []struct {
		expected, bytes int
		overflow        bool
	}{{0, 2048, true}, {512, 1536, true}, {2048, 0, false}, {10000, 7952, false}} {
		if n, over := Residual(c.expected, 2048); n != c.bytes || over != c.overflow {
			t.Errorf("of %d: %d, %v", c.expected, n, over)
		}
	}

	// Data-out that is shorter: whole blocks are written, parts are not.
	q := pattern(2048, 99)
	for _, op := range []byte{0x2a, 0xaa, 0x8a, 0x2e, 0x8b} {
		r.good(blocks(0x2a, 0, 4), p, 0)
		r.good(blocks(op, 0, 4), q[:1024], 0)
		want := append(bytes.Clone(q[:1024]), p[1024:]...)
		if op == 0x8b {
			for i := range 1024 {
				want[i] |= p[i]
			}
		}
		if got := r.good(blocks(0x28, 0, 4), nil, 2048); !bytes.Equal(got, want) || r.task.Transferred != 2048 {
			t.Errorf("%02X of half its data has written something else", op)
		}
		r.fails(blocks(op, 0, 4), q[:600], 0, Sense{Key: IllegalRequest, Code: CodeInvalidInformationUnit})
		if r.task.Transferred != 2048 {
			t.Errorf("%02X of parts of blocks has transferred %d", op, r.task.Transferred)
		}
		if got := r.good(blocks(0x28, 0, 4), nil, 2048); !bytes.Equal(got, want) {
			t.Errorf("%02X of parts of blocks has written", op)
		}
		r.good(blocks(op, 0, 4), nil, 0)
	}

	// Commands that work on exactly as much as they say.
	for _, c := range []struct {
		cdb      []byte
		out, say int
	}{
		{blocks(0x89, 0, 2), 1024, 1024},
		{blocks(0x41, 0, 2), 256, 256}, {blocks(0x41, 0, 2), 512, 1024},
		{blocks(0x93, 0, 2), 0, 0}, {blocks(0x93, 0, 2), 512, 1024},
	} {
		r.task.ExpectedOut = c.say
		r.fails(c.cdb, q[:c.out], 0, Sense{Key: IllegalRequest, Code: CodeInvalidInformationUnit})
	}
	r.task.ExpectedOut = 512 * 512
	r.fails(blocks(0x89, 0, 256), q, 0, field(13, 7))
}

// TestVerify walks BYTCHK.
func TestVerify(t *testing.T) {
	r := newRig(t, UnitConfig{})
	one := pattern(512, 5)
	r.good(blocks(0x41, 10, 300), one, 0)
	for _, op := range []byte{0x2f, 0xaf, 0x8f} {
		r.good(set(blocks(op, 10, 300), 0), nil, 0)
		r.good(set(blocks(op, 10, 300), 2), bytes.Repeat(one, 300), 0)
		r.good(set(blocks(op, 10, 300), 6), one, 0)
		r.fails(set(blocks(op, 10, 300), 4), one, 0, field(1, 2))
		r.fails(set(blocks(op, 10, 301), 6), one, 0, Sense{Key: Miscompare, Code: CodeMiscompare, HasInformation: true, Information: 310})
	}
	for _, op := range []byte{0x2e, 0xae, 0x8e} {
		r.fails(set(blocks(op, 10, 1), 4), one, 0, field(1, 2))
		r.fails(set(blocks(op, 10, 1), 6), one, 0, field(1, 2))
	}
}

// TestUnmapList walks what the parameter list of UNMAP may be.
func TestUnmapList(t *testing.T) {
	r := newRig(t, UnitConfig{})
	unmap := func(n int) []byte { return append(append(cdb(0x42, 0, 0, 0, 0, 0, 0), be16(n)...), 0) }
	list := func(descriptors ...uint64) []byte {
		n := len(descriptors) / 2 * 16
		p := append(append(be16(n+6), be16(n)...), 0, 0, 0, 0)
		for i := 0; i < len(descriptors); i += 2 {
			p = append(append(append(p, be64(descriptors[i])...), be32(uint32(descriptors[i+1]))...), 0, 0, 0, 0)
		}
		return p
	}
	short := Sense{Key: IllegalRequest, Code: CodeParameterListLength}
	r.good(blocks(0x2a, 0, 8), pattern(4096, 1), 0)
	r.good(unmap(0), nil, 0)
	for n := 1; n < 8; n++ {
		r.fails(unmap(n), make([]byte, n), 0, short)
	}
	r.fails(unmap(24), make([]byte, 7), 0, short)
	r.good(unmap(8), list(), 0)
	r.good(unmap(24), list(testBlocks, 0), 0)
	r.good(unmap(24), list(2, 3), 0)
	want := append(append(pattern(1024, 1), make([]byte, 3*512)...), pattern(4096, 1)[5*512:]...)
	if got := r.good(blocks(0x28, 0, 8), nil, 4096); !bytes.Equal(got, want) {
		t.Error("other blocks than those of the list read as zeroes")
	}
	r.fails(unmap(40), list(0, 1, testBlocks-1, 2), 0, beyond(testBlocks-1))
	if got := r.good(blocks(0x28, 0, 8), nil, 4096); !bytes.Equal(got, want) {
		t.Error("a list of which a part is wrong has had an effect")
	}
	most := make([]uint64, 2*maxUnmap)
	r.good(unmap(8+16*maxUnmap), list(most...), 0)
	r.fails(unmap(8+16*(maxUnmap+1)), list(append(most, 0, 0)...), 0, parameter(2, -1))
	p := list(1, 1, 0, 1)
	r.good(unmap(len(p)-3), p[:len(p)-3], 0) // the descriptor that is cut off is none
	if got := r.good(blocks(0x28, 0, 1), nil, 512); !bytes.Equal(got, want[:512]) {
		t.Error("a descriptor that was cut off has had an effect")
	}
}

// TestSame walks the lengths of WRITE SAME.
func TestSame(t *testing.T) {
	d := newDisk(t, memory(80000*512))
	r := newRig(t, UnitConfig{Disk: d})
	one := pattern(512, 9)
	r.good(blocks(0x93, 0, maxSame), one, 0)
	r.fails(blocks(0x93, 0, maxSame+1), one, 0, field(10, 7))
	r.fails(blocks(0x93, 80000-maxSame-1, 0), one, 0, field(10, 7))
	r.fails(blocks(0x41, 0, 0), one, 0, field(7, 7))
	r.good(blocks(0x41, 80000-maxSame, 0), one, 0)
	for _, lba := range []uint64{0, 1, 40000, 79999} {
		if got := r.good(blocks(0x28, lba, 1), nil, 512); !bytes.Equal(got, one) {
			t.Errorf("block %d is another", lba)
		}
	}
	r.good(set(blocks(0x41, 79000, 0), 8), make([]byte, 512), 0)
	for lba, want := range map[uint64][]byte{78999: one, 79000: make([]byte, 512), 79999: make([]byte, 512)} {
		if got := r.good(blocks(0x28, lba, 1), nil, 512); !bytes.Equal(got, want) {
			t.Errorf("block %d is another after the blocks up to the end were unmapped", lba)
		}
	}
}

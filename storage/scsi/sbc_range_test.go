package scsi

import (
	"testing"
)

// A blockCommand is a command with a range of blocks.
type blockCommand struct {
	name     string
	make     func(lba, n uint64) []byte
	out      int    // blocks of data-out for each block, or -1 for one in all
	in       bool   // gives its blocks
	lengthAt int    // where the length stands, if it is bounded by MaxTransfer
	most     uint64 // the largest length the CDB can say
	toEnd    bool   // no blocks are all up to the end
	changes  bool
}

// blockCommands are all commands with a range of blocks in the CDB.
func blockCommands() []blockCommand {
	of := func(op, flags byte) func(lba, n uint64) []byte {
		return func(lba, n uint64) []byte { return set(blocks(op, lba, n), flags) }
	}
	return []blockCommand{
		{name: "READ(6)", make: of(0x08, 0), in: true, most: 255},
		{name: "READ(10)", make: of(0x28, 0), in: true, lengthAt: 7, most: 1<<16 - 1},
		{name: "READ(12)", make: of(0xa8, 0), in: true, lengthAt: 6, most: 1<<32 - 1},
		{name: "READ(16)", make: of(0x88, 0), in: true, lengthAt: 10, most: 1<<32 - 1},
		{name: "WRITE(6)", make: of(0x0a, 0), out: 1, most: 255, changes: true},
		{name: "WRITE(10)", make: of(0x2a, 0), out: 1, lengthAt: 7, most: 1<<16 - 1, changes: true},
		{name: "WRITE(12)", make: of(0xaa, 0), out: 1, lengthAt: 6, most: 1<<32 - 1, changes: true},
		{name: "WRITE(16)", make: of(0x8a, 0), out: 1, lengthAt: 10, most: 1<<32 - 1, changes: true},
		{name: "WRITE AND VERIFY(10)", make: of(0x2e, 0), out: 1, lengthAt: 7, most: 1<<16 - 1, changes: true},
		{name: "WRITE AND VERIFY(12)", make: of(0xae, 2), out: 1, lengthAt: 6, most: 1<<32 - 1, changes: true},
		{name: "WRITE AND VERIFY(16)", make: of(0x8e, 0), out: 1, lengthAt: 10, most: 1<<32 - 1, changes: true},
		{name: "VERIFY(10), no data", make: of(0x2f, 0), most: 1<<16 - 1},
		{name: "VERIFY(12), no data", make: of(0xaf, 0), most: 1<<32 - 1},
		{name: "VERIFY(16), no data", make: of(0x8f, 0), most: 1<<32 - 1},
		{name: "VERIFY(10)", make: of(0x2f, 2), out: 1, lengthAt: 7, most: 1<<16 - 1},
		{name: "VERIFY(12)", make: of(0xaf, 2), out: 1, lengthAt: 6, most: 1<<32 - 1},
		{name: "VERIFY(16)", make: of(0x8f, 2), out: 1, lengthAt: 10, most: 1<<32 - 1},
		{name: "VERIFY(10), one block", make: of(0x2f, 6), out: -1, most: 1<<16 - 1},
		{name: "COMPARE AND WRITE", make: of(0x89, 0), out: 2, most: 255, changes: true},
		{name: "ORWRITE(16)", make: of(0x8b, 0), out: 1, lengthAt: 10, most: 1<<32 - 1, changes: true},
		{name: "WRITE SAME(10)", make: of(0x41, 0), out: -1, most: 1<<16 - 1, toEnd: true, changes: true},
		{name: "WRITE SAME(16)", make: of(0x93, 0), out: -1, most: 1<<32 - 1, toEnd: true, changes: true},
		{name: "WRITE SAME(16), no data", make: of(0x93, 1), most: 1<<32 - 1, toEnd: true, changes: true},
		{name: "WRITE SAME(16), unmap", make: of(0x93, 8), out: -1, most: 1<<32 - 1, toEnd: true, changes: true},
		{name: "SYNCHRONIZE CACHE(10)", make: of(0x35, 0), most: 1<<16 - 1, toEnd: true},
		{name: "SYNCHRONIZE CACHE(16)", make: of(0x91, 0), most: 1<<32 - 1, toEnd: true},
		{name: "PRE-FETCH(10)", make: of(0x34, 0), most: 1<<16 - 1, toEnd: true},
		{name: "PRE-FETCH(16)", make: of(0x90, 0), most: 1<<32 - 1, toEnd: true},
	}
}

// data is the bytes that n blocks of c take out.
func (c blockCommand) data(n uint64) int {
	if c.out < 0 {
		if n == 0 && !c.toEnd {
			return 0
		}
		return 512
	}
	return c.out * int(n) * 512
}

// TestRanges walks all commands with a range over the end of the medium, no blocks, and
// lengths that are too long.
func TestRanges(t *testing.T) {
	const maxTransfer = 64 << 10
	r := newRig(t, UnitConfig{MaxTransfer: maxTransfer})
	for _, c := range blockCommands() {
		t.Run(c.name, func(t *testing.T) {
			r.TB = t
			six := len(c.make(0, 0)) == 6
			for _, g := range []struct{ lba, n uint64 }{{0, 1}, {0, 7}, {testBlocks - 1, 1}, {testBlocks - 8, 8}, {17, 0}, {testBlocks, 0}} {
				if six && g.n == 0 {
					continue // which is 256
				}
				out := make([]byte, c.data(g.n))
				in := 0
				if c.in {
					in = int(g.n) * 512
				}
				r.fill(g.lba, len(out))
				p := r.good(c.make(g.lba, g.n), out, in)
				if len(p) != in || r.task.DataIn != in || r.task.DataOut != len(out) || r.task.Transferred != in+len(out) {
					t.Errorf("%+v: data-in %d of %d, data-out %d, transferred %d", g, len(p), r.task.DataIn, r.task.DataOut, r.task.Transferred)
				}
				if n := g.n; (n > 0 || !c.toEnd) && r.task.Hi-r.task.Lo != int64(n*512) {
					t.Errorf("%+v works on %d to %d", g, r.task.Lo, r.task.Hi)
				}
			}
			last := uint64(1)<<(8*uint(map[int]int{6: 2, 10: 4, 12: 4, 16: 8}[len(c.make(0, 0))])) - 1
			for _, b := range []struct{ lba, n uint64 }{{testBlocks, 1}, {testBlocks - 1, 2}, {testBlocks + 1, 0}, {last, 1}, {last, 0}, {testBlocks / 2, testBlocks/2 + 1}} {
				if six && (b.n == 0 || b.n > 255) || b.n > c.most || c.lengthAt > 0 && b.n*512 > maxTransfer {
					continue
				}
				want := beyond(b.lba)
				if b.lba > 1<<32-1 {
					want = Sense{Key: IllegalRequest, Code: CodeLBAOutOfRange}
				}
				r.fails(c.make(b.lba, b.n), nil, 0, want)
				if r.task.DataIn+r.task.DataOut+r.task.Transferred != 0 || r.task.Lo != 0 || r.task.Hi != 0 {
					t.Errorf("%+v has data: %+v", b, &r.task)
				}
			}
			if c.lengthAt > 0 {
				r.fails(c.make(0, maxTransfer/512+1), nil, 0, field(c.lengthAt, 7))
				r.fails(c.make(0, c.most), nil, 0, field(c.lengthAt, 7))
			}
		})
	}
}

// fill makes n bytes from block lba on zeroes, which all commands that compare then find.
func (r *rig) fill(lba uint64, n int) {
	r.Helper()
	n = min(n, int(testBlocks-lba)*512)
	if _, err := r.device.WriteAt(make([]byte, n), int64(lba)*512); err != nil {
		r.Fatal(err)
	}
}

// TestWriteProtect walks all commands that change the medium while they may not.
func TestWriteProtect(t *testing.T) {
	protected := Sense{Key: DataProtect, Code: CodeWriteProtected}
	walk := func(r *rig, want Sense) {
		t.Helper()
		for _, c := range blockCommands() {
			if c.changes {
				r.fails(c.make(0, 1), make([]byte, 1024), 0, want)
			}
		}
		r.fails(cdb(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), make([]byte, 24), 0, want)
		r.good(blocks(0x28, 0, 1), nil, 512)
		r.good(blocks(0x35, 0, 1), nil, 0)
	}
	walk(newRig(t, UnitConfig{ReadOnly: true}), protected)

	r := newRig(t, UnitConfig{})
	r.nexus = r.target.Attach(NexusConfig{Access: func(int) Access { return ReadOnly }})
	r.settle(r.nexus)
	walk(r, protected)

	r = newRig(t, UnitConfig{})
	r.good(cdb(0x15, 0x10, 0, 0, 16, 0), []byte{0, 0, 0, 0, 0x0a, 10, 0x20, 0x10, 0x08, 0, 0, 0, 0xff, 0xff, 0, 0}, 0)
	walk(r, Sense{Key: DataProtect, Code: CodeSoftwareWriteProtected})
}

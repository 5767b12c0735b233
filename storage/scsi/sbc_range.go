package scsi

// A layout is where a command has the address of its first block and their number, in
// its CDB. The sizes are in bytes.
type layout struct {
	lbaAt, lbaSize       int
	lengthAt, lengthSize int
}

var (
	layout6  = layout{1, 3, 4, 1}
	layout10 = layout{2, 4, 7, 2}
	layout12 = layout{2, 4, 6, 4}
	layout16 = layout{2, 8, 10, 4}
)

// field reads a number from the CDB.
func (t *Task) field(at, size int) (v uint64) {
	for _, b := range t.cdb[at : at+size] {
		v = v<<8 | uint64(b)
	}
	return v
}

// blocksOf is the address and the number of blocks of the CDB.
func (t *Task) blocksOf(l layout) (lba, blocks uint64) {
	lba, blocks = t.field(l.lbaAt, l.lbaSize), t.field(l.lengthAt, l.lengthSize)
	if l == layout6 {
		if lba &= 1<<21 - 1; blocks == 0 {
			blocks = 256 // SBC-2 5.5
		}
	}
	return lba, blocks
}

// planTransfer plans a command that transfers its blocks, at most MaxTransfer.
func (t *Task) planTransfer(l layout) bool {
	lba, blocks := t.blocksOf(l)
	if blocks > uint64(t.unit.config.MaxTransfer>>t.unit.shift) {
		t.invalidField(l.lengthAt, 7)
		return false
	}
	return t.planBlocks(lba, blocks)
}

// planBlocks plans work on blocks of the medium.
func (t *Task) planBlocks(lba, blocks uint64) bool {
	if lba > t.last || blocks > t.last-lba {
		t.fail(Sense{Key: IllegalRequest, Code: CodeLBAOutOfRange, HasInformation: true, Information: lba})
		return false
	}
	t.lba, t.blocks = lba, blocks
	t.lo, t.hi = t.offset(lba), t.offset(lba+blocks)
	t.Lo, t.Hi = t.lo, t.hi
	return true
}

// planToEnd is planBlocks where no blocks are all from the first to the last.
func (t *Task) planToEnd(lba, blocks uint64) bool {
	if blocks == 0 && lba <= t.last {
		blocks = t.last - lba
	}
	return t.planBlocks(lba, blocks)
}

// offset is the byte at which a block begins.
func (t *Task) offset(lba uint64) int64 { return int64(lba) << t.unit.shift }

// lbaOf is the block of a byte.
func (t *Task) lbaOf(off int64) uint64 { return uint64(off) >> t.unit.shift }

// wholeBlocks says whether data-out are whole blocks. If they end within one, the
// initiator was to send less than the command says, and nothing is done: that
// initiators expect less data may be refused (SAM-4 5.4.3.2), and blocks are written
// whole or not at all.
func (t *Task) wholeBlocks(out []byte) bool {
	if len(out)&(t.unit.config.BlockSize-1) == 0 {
		return true
	}
	t.refuseLength()
	return false
}

// refuseLength makes the command fail because data-out of another length were announced.
// The residual is told all the same.
func (t *Task) refuseLength() {
	t.fail(Sense{Key: IllegalRequest, Code: CodeInvalidInformationUnit})
	t.Transferred = t.DataOut
}

// bitsDurable are FUA and FUA_NV in byte 1 of the CDB. The unit has no cache that is not
// volatile, so both ask for the medium (SBC-2 5.25; SBC-3 has FUA alone).
const bitsDurable = 0x08 | 0x02

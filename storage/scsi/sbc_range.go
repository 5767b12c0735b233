package scsi

// planBlocks plans work on blocks of the medium: the address of the first, how many, and
// where in the CDB the address and the length stand. A transfer of them is bounded by
// MaxTransfer.
func (t *Task) planBlocks(lba, blocks uint64, transfers bool, lengthAt int) bool {
	if transfers && blocks > uint64(t.unit.config.MaxTransfer>>t.unit.shift) {
		t.invalidField(lengthAt, 7)
		return false
	}
	if lba > t.last || blocks > t.last-lba {
		t.fail(Sense{Key: IllegalRequest, Code: CodeLBAOutOfRange, HasInformation: true, Information: lba})
		return false
	}
	t.lba, t.blocks = lba, blocks
	t.Lo, t.Hi = t.offset(lba), t.offset(lba+blocks)
	return true
}

// offset is the byte at which a block begins.
func (t *Task) offset(lba uint64) int64 { return int64(lba) << t.unit.shift }

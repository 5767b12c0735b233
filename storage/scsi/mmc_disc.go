package scsi

func mmcDiscCommands() []command {
	return []command{{
		name:  "READ DISC INFORMATION", // MMC-5 6.22
		usage: []byte{0x51, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00},
		types: cdroms(), flags: needsMedium, reserve: reserveReads,
		plan: func(t *Task) {
			if t.cdb[1]&0x07 != 0 { // standard information only
				t.invalidField(1, 2)
				return
			}
			t.allocation(t.cdb16(7))
		},
		locked: (*Task).discInformation,
	}, {
		name:  "READ TRACK INFORMATION", // MMC-5 6.27
		usage: []byte{0x52, 0x03, 0xff, 0xff, 0xff, 0xff, 0x00, 0xff, 0xff, 0x00},
		types: cdroms(), flags: needsMedium, reserve: reserveReads,
		plan: (*Task).planTrack, locked: (*Task).trackInformation,
	}, {
		name:  "READ DISC STRUCTURE", // MMC-5 6.23
		usage: []byte{0xad, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc0, 0x00},
		types: cdroms(), flags: needsMedium, reserve: reserveReads,
		plan: (*Task).planStructure, locked: (*Task).discStructure,
	}, {
		name:  "READ CD", // MMC-5 6.20: user data only
		usage: []byte{0xbe, 0x1c, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10, 0x00, 0x00},
		types: cdroms(), flags: needsMedium, reserve: reserveReads,
		plan: (*Task).planReadCD, run: (*Task).read,
	}}
}

func (t *Task) discInformation(_, in []byte) {
	r := reply{p: in}
	r.bytes(0, 32, 0x0c|0x02, 1, 1, 1, 1, 0x20) // complete; one track in one session; for all uses
	r.zeroes(34 - r.n)
	t.replied(r)
}

// planTrack finds the track by an address, its number or that of its session: there is one.
func (t *Task) planTrack() {
	n := uint64(t.cdb32(2))
	switch kind := t.cdb[1] & 0x03; {
	case kind == 3:
		t.invalidField(1, 1)
	case kind == 0 && n >= t.last:
		t.fail(Sense{Key: IllegalRequest, Code: CodeLBAOutOfRange})
	case kind != 0 && n != onlyTrack:
		t.invalidField(2, 7)
	default:
		t.allocation(t.cdb16(7))
	}
}

func (t *Task) trackInformation(_, in []byte) {
	r := reply{p: in}
	r.bytes(0, 34, onlyTrack, 1, 0, dataTrack&0x0f, 0x01, 0x02) // data in mode 1; LRA_V
	r.zeroes(16)                                                // starts at 0, nothing is free
	blocks := uint32(min(t.last, 1<<32-1))
	r.u32(blocks)
	r.u32(max(blocks, 1) - 1)
	r.zeroes(36 - r.n)
	t.replied(r)
}

// Formats of READ DISC STRUCTURE that a DVD-ROM has.
const (
	structurePhysical  = 0x00
	structureCopyright = 0x01
	structureList      = 0xff
)

func (t *Task) planStructure() {
	switch f := t.cdb[7]; {
	case t.cdb[1]&0x0f != 0: // of a BD
		t.invalidField(1, 3)
	case f == structureList:
		t.allocation(t.cdb16(8))
	case t.profile() != profileDVD:
		t.fail(Sense{Key: IllegalRequest, Code: CodeIncompatibleFormat})
	case f != structurePhysical && f != structureCopyright:
		t.invalidField(7, 7)
	case t.cdb[6] != 0: // one layer
		t.invalidField(6, 7)
	default:
		t.allocation(t.cdb16(8))
	}
}

func (t *Task) discStructure(_, in []byte) {
	const first, physical = 0x030000, 2048 // sector of block 0, and the length of the structure
	r := reply{p: in}
	r.zeroes(4)
	switch t.cdb[7] {
	case structurePhysical:
		r.bytes(0x01, 0x0f, 0x01, 0)                     // DVD-ROM; 120 mm, no least rate; one embossed layer
		r.u32(first)                                     // to
		r.u32(uint32(min(first+t.lastBlock(), 1<<24-1))) // in 24 bits
		r.zeroes(physical - 12)
	case structureCopyright:
		r.bytes(0, 0, 0, 0) // none, and all regions
	case structureList:
		for _, s := range []struct {
			format byte
			length int
		}{{structurePhysical, 4 + physical}, {structureCopyright, 8}} {
			r.bytes(s.format, 0x40) // RDS
			r.u16(s.length)
		}
	}
	r.length16(0, 2)
	t.replied(r)
}

// planReadCD reads user data of a track in mode 1, or of whichever there is.
func (t *Task) planReadCD() {
	switch kind := t.cdb[1] >> 2; kind {
	case 0, 2:
	case 1, 3, 4, 5: // audio, and mode 2
		t.fail(Sense{Key: IllegalRequest, Code: CodeIllegalMode})
		return
	default:
		t.invalidField(1, 4)
		return
	}
	if !t.planTransfer(layout{2, 4, 6, 3}) {
		return
	}
	if t.cdb[9] != 0 {
		t.DataIn = int(t.Hi - t.Lo)
	}
}

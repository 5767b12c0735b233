package scsi

// A CD-ROM here is one session with one data track, from block 0 to the end of the medium.

// maxCD is how many blocks a CD of 80 minutes has. A medium with more is said to be a DVD.
const maxCD = 80 * 60 * 75

// Numbers of tracks, and what a track holds (MMC-5 6.26.2.4).
const (
	onlyTrack = 0x01
	leadOut   = 0xaa
	dataTrack = 0x14 // ADR 1: position; CONTROL 4: data
)

func mmcTOCCommands() []command {
	return []command{{
		name:  "READ TOC/PMA/ATIP", // MMC-5 6.26
		usage: []byte{0x43, 0x02, 0x0f, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xc0},
		types: cdroms(), flags: needsMedium, reserve: reserveReads,
		plan: (*Task).planTOC, locked: (*Task).readTOC,
	}}
}

// tocFormat is the field FORMAT, or, where that is zero, the one that it had before MMC (SFF-8020i),
// which initiators still use.
func (t *Task) tocFormat() byte {
	if f := t.cdb[2] & 0x0f; f != 0 {
		return f
	}
	return t.cdb[9] >> 6
}

func (t *Task) planTOC() {
	number := t.cdb[6]
	switch f := t.tocFormat(); {
	case f > 2: // PMA, ATIP and CD-TEXT, which a CD-ROM has not
		t.invalidField(2, 3)
	case f == 0 && number > onlyTrack && number != leadOut, f == 2 && number > 1:
		t.invalidField(6, 7)
	default:
		t.allocation(t.cdb16(7))
	}
}

func (t *Task) readTOC(_, in []byte) {
	r := reply{p: in}
	r.bytes(0, 0, 1, 1) // first and last, tracks or sessions
	switch t.tocFormat() {
	case 0: // the tracks from a number on
		if t.cdb[6] <= onlyTrack {
			r.bytes(0, dataTrack, onlyTrack, 0)
			t.address(&r, 0)
		}
		r.bytes(0, dataTrack, leadOut, 0)
		t.address(&r, t.last)
	case 1: // the first track of the last session
		r.bytes(0, dataTrack, onlyTrack, 0)
		t.address(&r, 0)
	case 2: // what the lead-in says
		entry := func(point byte, p ...byte) {
			r.bytes(1, dataTrack, 0, point, 0, 0, 0, 0)
			r.bytes(p...)
		}
		end, start := msf(t.last), msf(0)
		entry(0xa0, onlyTrack, 0, 0) // first track, type of disc
		entry(0xa1, onlyTrack, 0, 0) // last track
		entry(0xa2, end[:]...)
		entry(onlyTrack, start[:]...)
	}
	r.length16(0, 2)
	t.replied(r)
}

// address writes the address of a block as the bit MSF of READ TOC wants it.
func (t *Task) address(r *reply, lba uint64) {
	if t.cdb[1]&0x02 == 0 {
		r.u32(uint32(min(lba, 1<<32-1)))
		return
	}
	p := msf(lba)
	r.bytes(0)
	r.bytes(p[:]...)
}

// msf is an address in minutes, seconds and frames, the largest that there is for blocks beyond
// it (MMC-5 annex A).
func msf(lba uint64) [3]byte {
	f := min(lba+150, 255*60*75+59*75+74)
	return [3]byte{byte(f / 75 / 60), byte(f / 75 % 60), byte(f % 75)}
}

package scsi

func sbcReadCommands() []command {
	return []command{{
		name:  "READ(10)", // SBC-3 5.12, MMC-5 6.24
		usage: []byte{0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0x00, 0xff, 0xff, 0x00},
		types: both(), flags: needsMedium, reserve: reserveReads,
		plan: func(t *Task) { t.planRead(uint64(t.cdb32(2)), uint64(t.cdb16(7)), 7) },
		run:  (*Task).read,
	}, {
		name:  "READ(16)", // SBC-3 5.14
		usage: []byte{0x88, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
		types: disks(), flags: needsMedium, reserve: reserveReads,
		plan: func(t *Task) { t.planRead(t.cdb64(2), uint64(t.cdb32(10)), 10) },
		run:  (*Task).read,
	}}
}

func (t *Task) planRead(lba, blocks uint64, lengthAt int) {
	if t.planBlocks(lba, blocks, true, lengthAt) {
		t.DataIn = int(t.Hi - t.Lo)
	}
}

// read gives the blocks, or as much of them as the buffer takes. FUA asks for what is on
// the medium itself (SBC-3 4.15): what is in the cache is written there first.
func (t *Task) read(_, in []byte) {
	held, ok := t.enter(false)
	if !ok {
		return
	}
	defer t.leave(held)
	if t.cdb[1]&0x08 != 0 && !t.medium.readOnly && !t.sync() {
		return
	}
	if n, err := t.medium.disk.ReadAtContext(t.ctx, in, t.Lo); err != nil {
		t.failDevice(readFailed, t.Lo+int64(n), err)
		return
	}
	t.Transferred = t.DataIn
}

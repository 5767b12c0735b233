package scsi

func sbcWriteCommands() []command {
	return []command{{
		name:  "WRITE(10)", // SBC-3 5.33
		usage: []byte{0x2a, 0x18, 0xff, 0xff, 0xff, 0xff, 0x00, 0xff, 0xff, 0x00},
		types: disks(), flags: needsMedium | changesMedium, reserve: reserveWrites,
		plan: func(t *Task) { t.planWrite(uint64(t.cdb32(2)), uint64(t.cdb16(7)), 7) },
		run:  (*Task).write,
	}, {
		name:  "WRITE(16)", // SBC-3 5.35
		usage: []byte{0x8a, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
		types: disks(), flags: needsMedium | changesMedium, reserve: reserveWrites,
		plan: func(t *Task) { t.planWrite(t.cdb64(2), uint64(t.cdb32(10)), 10) },
		run:  (*Task).write,
	}}
}

func (t *Task) planWrite(lba, blocks uint64, lengthAt int) {
	if t.planBlocks(lba, blocks, true, lengthAt) {
		t.DataOut = int(t.Hi - t.Lo)
	}
}

// write writes the whole blocks that have come. With FUA, or without a write cache, they
// are then durable.
func (t *Task) write(out, _ []byte) {
	held, ok := t.enter(false)
	if !ok {
		return
	}
	defer t.leave(held)
	out = t.wholeBlocks(out)
	if n, err := t.medium.disk.WriteAtContext(t.ctx, out, t.Lo, t.durable()); err != nil {
		t.failDevice(writeFailed, t.Lo+int64(n), err)
		return
	}
	t.Transferred = t.DataOut
}

// wholeBlocks leaves out a part of a block at the end.
func (t *Task) wholeBlocks(p []byte) []byte { return p[:len(p)>>t.unit.shift<<t.unit.shift] }

// durable says whether what the command writes must be durable when it ends.
func (t *Task) durable() bool { return t.through || t.cdb[1]&0x08 != 0 }

package scsi

func sbcWriteCommands() []command {
	row := func(name string, l layout, run func(*Task, []byte, []byte), usage ...byte) command {
		return command{
			name: name, usage: usage, types: disks(), flags: needsMedium | changesMedium, reserve: reserveWrites,
			plan: func(t *Task) {
				if t.planTransfer(l) {
					t.DataOut = int(t.hi - t.lo)
				}
			},
			run: run,
		}
	}
	verify := func(name string, l layout, usage ...byte) command {
		c := row(name, l, (*Task).writeAndVerify, usage...)
		plan := c.plan
		c.plan = func(t *Task) {
			if t.byteCheck() > 1 { // SBC-3 5.37
				t.invalidField(1, 2)
				return
			}
			plan(t)
		}
		return c
	}
	return []command{
		row("WRITE(6)", layout6, (*Task).write, 0x0a, 0x1f, 0xff, 0xff, 0xff, 0x00),                                                               // SBC-2 5.24
		row("WRITE(10)", layout10, (*Task).write, 0x2a, 0x1a, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00),                                     // SBC-3 5.33
		row("WRITE(12)", layout12, (*Task).write, 0xaa, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00),                         // SBC-3 5.34
		row("WRITE(16)", layout16, (*Task).write, 0x8a, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00), // SBC-3 5.35
		verify("WRITE AND VERIFY(10)", layout10, 0x2e, 0x16, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00),                                      // SBC-3 5.37
		verify("WRITE AND VERIFY(12)", layout12, 0xae, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00),                          // SBC-3 5.38
		verify("WRITE AND VERIFY(16)", layout16, 0x8e, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00),  // SBC-3 5.39
	}
}

// write writes the blocks that have come. With FUA, or without a write cache, they are
// then durable.
func (t *Task) write(out, _ []byte) {
	durable := t.through || t.cdb[0] != 0x0a && t.cdb[1]&bitsDurable != 0
	if !t.wholeBlocks(out) {
		return
	}
	held, ok := t.enter(false)
	if !ok {
		return
	}
	defer t.leave(held)
	if t.put(out, t.lo, durable) {
		t.Transferred = t.DataOut
	}
}

// put writes p at a byte of the medium, or makes the command fail.
func (t *Task) put(p []byte, off int64, durable bool) bool {
	if n, err := t.medium.disk.WriteAtContext(t.ctx, p, off, durable); err != nil {
		t.failDevice(writeFailed, off+int64(n), err)
		return false
	}
	return true
}

// writeAndVerify writes to the medium itself, whatever the cache, and reads it back
// (SBC-3 5.37). With BYTCHK it compares as well, so it is alone on its blocks.
func (t *Task) writeAndVerify(out, _ []byte) {
	if !t.wholeBlocks(out) {
		return
	}
	held, ok := t.enter(true)
	if !ok {
		return
	}
	defer t.leave(held)
	if !t.put(out, t.lo, true) {
		return
	}
	against := out
	if t.byteCheck() == 0 {
		against = nil
	}
	if t.verifyRange(t.lo, int64(len(out)), against) {
		t.Transferred = t.DataOut
	}
}

// byteCheck is the field BYTCHK of the CDB.
func (t *Task) byteCheck() byte { return t.cdb[1] >> 1 & 3 }

package scsi

func sbcReadCommands() []command {
	row := func(name string, l layout, types []Type, usage ...byte) command {
		return command{
			name: name, usage: usage, types: types, flags: needsMedium, reserve: reserveReads,
			plan: func(t *Task) {
				if t.planTransfer(l) {
					t.DataIn = int(t.hi - t.lo)
				}
			},
			run: (*Task).read,
		}
	}
	return []command{
		row("READ(6)", layout6, disks(), 0x08, 0x1f, 0xff, 0xff, 0xff, 0x00),                                                               // SBC-2 5.5
		row("READ(10)", layout10, both(), 0x28, 0x1a, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00),                                      // SBC-3 5.11, MMC-5 6.19
		row("READ(12)", layout12, both(), 0xa8, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00),                          // SBC-3 5.12, MMC-5 6.20
		row("READ(16)", layout16, disks(), 0x88, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00), // SBC-3 5.13
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
	if t.cdb[0] != 0x08 && t.cdb[1]&bitsDurable != 0 && !t.medium.readOnly && !t.sync() {
		return
	}
	if n, err := t.medium.disk.ReadAtContext(t.ctx, in, t.lo); err != nil {
		t.failDevice(readFailed, t.lo+int64(n), err)
		return
	}
	t.Transferred = t.DataIn
}

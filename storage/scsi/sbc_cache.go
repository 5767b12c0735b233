package scsi

func sbcCacheCommands() []command {
	synchronize := func(name string, l layout, types []Type, usage ...byte) command {
		return command{
			name: name, usage: usage, types: types, flags: needsMedium, reserve: reserveWrites,
			plan: func(t *Task) { t.planToEnd(t.blocksOf(l)) },
			run:  (*Task).synchronize,
		}
	}
	prefetch := func(name string, l layout, usage ...byte) command {
		return command{
			name: name, usage: usage, types: disks(), flags: needsMedium, reserve: reserveReads,
			plan: func(t *Task) { t.planToEnd(t.blocksOf(l)) },
			run:  (*Task).prefetch,
		}
	}
	return []command{
		synchronize("SYNCHRONIZE CACHE(10)", layout10, both(), 0x35, 0x06, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00),                                      // SBC-3 5.26
		synchronize("SYNCHRONIZE CACHE(16)", layout16, disks(), 0x91, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00), // SBC-3 5.27
		prefetch("PRE-FETCH(10)", layout10, 0x34, 0x02, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00),                                                         // SBC-3 5.8
		prefetch("PRE-FETCH(16)", layout16, 0x90, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00),                     // SBC-3 5.9
	}
}

// synchronize makes all that was written durable, whatever the range: the device knows no
// less. IMMED lets it answer before that, which it need not use.
func (t *Task) synchronize(_, _ []byte) {
	if !t.medium.readOnly {
		t.sync()
	}
}

// prefetch asks the device for the blocks. Whether all of them are in a cache then is not
// known, so the status is GOOD and not CONDITION MET.
func (t *Task) prefetch(_, _ []byte) {
	if err := t.medium.disk.Prefetch(t.lo, t.hi-t.lo); err != nil {
		t.failDevice(readFailed, t.lo, err)
	}
}

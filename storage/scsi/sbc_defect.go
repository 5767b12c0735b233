package scsi

func sbcDefectCommands() []command {
	return []command{{
		name:  "READ DEFECT DATA(10)", // SBC-3 5.17
		usage: []byte{0x37, 0x00, 0x1f, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00},
		types: disks(), flags: needsMedium, reserve: reserveReads,
		plan: func(t *Task) { t.allocation(t.cdb16(7)) },
		locked: func(t *Task, _, in []byte) {
			r := reply{p: in}
			r.bytes(0, t.cdb[2]&0x1f, 0, 0)
			t.replied(r)
		},
	}, {
		name:  "READ DEFECT DATA(12)", // SBC-3 5.18
		usage: []byte{0xb7, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
		types: disks(), flags: needsMedium, reserve: reserveReads,
		plan: func(t *Task) { t.allocation(t.cdb32(6)) },
		locked: func(t *Task, _, in []byte) {
			r := reply{p: in}
			r.bytes(0, t.cdb[1]&0x1f, 0, 0, 0, 0, 0, 0)
			t.replied(r)
		},
	}}
}

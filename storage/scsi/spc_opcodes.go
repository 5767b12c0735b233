package scsi

// What a unit can do is told from the table that it works by.

func spcOpcodesCommands() []command {
	return []command{{
		name:  "REPORT SUPPORTED OPERATION CODES", // SPC-4 6.35
		usage: []byte{0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
		types: both(), action: true, reserve: reserveReads,
		plan: func(t *Task) { t.allocation(t.cdb32(6)) }, locked: (*Task).reportOpcodes,
	}, {
		name:  "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", // SPC-4 6.36
		usage: []byte{0xa3, 0x0d, 0x80, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
		types: both(), action: true, reserve: reserveReads,
		plan: func(t *Task) {
			if t.cdb32(6) < 4 {
				t.invalidField(6, 7)
				return
			}
			t.allocation(t.cdb32(6))
		},
		locked: (*Task).reportFunctions,
	}}
}

// reportOpcodes tells of all commands, or of one. RCTD asks for timeouts.
func (t *Task) reportOpcodes(_, in []byte) {
	r := reply{p: in}
	timeouts := t.cdb[2]&0x80 != 0
	options, opcode, action := t.cdb[2]&0x07, t.cdb[3], t.cdb16(4)
	set, s := t.unit.commands, &t.unit.state
	switch options {
	case 0:
		r.zeroes(4)
		for i := range set.all {
			if c := &set.all[i]; c.present == nil || c.present(s) {
				c.describe(&r, timeouts)
			}
		}
		r.length32(0, 4)
	case 1, 2, 3:
		c, actions := set.one(opcode, action, s)
		switch {
		case options == 1 && actions:
			t.invalidField(2, 2)
			return
		case options == 2 && c != nil && !c.action:
			t.invalidField(2, 2)
			return
		}
		describeOne(&r, c, timeouts)
	default:
		t.invalidField(2, 2)
		return
	}
	t.replied(r)
}

// one finds the command of an operation code and a service action, which counts only
// where there are such. actions says whether there are.
func (s *commandSet) one(opcode byte, action uint32, unit *state) (found *command, actions bool) {
	for _, c := range s.byOpcode[opcode] {
		if c.present != nil && !c.present(unit) {
			continue
		}
		actions = actions || c.action
		if !c.action || uint32(c.usage[1]&0x1f) == action {
			found = c
		}
	}
	return found, actions
}

// describe writes a command descriptor (SPC-4 6.35.2).
func (c *command) describe(r *reply, timeouts bool) {
	action, flags := 0, byte(0)
	if c.action {
		action, flags = int(c.usage[1]&0x1f), 0x01 // SERVACTV
	}
	if timeouts {
		flags |= 0x02 // CTDP
	}
	r.bytes(c.usage[0], 0)
	r.u16(action)
	r.bytes(0, flags)
	r.u16(len(c.usage))
	if timeouts {
		describeTimeouts(r)
	}
}

// describeOne writes the parameter data for one command (SPC-4 6.35.3), or that there is
// no such.
func describeOne(r *reply, c *command, timeouts bool) {
	switch {
	case c == nil:
		r.bytes(0, 0x01, 0, 0)
	case timeouts:
		r.bytes(0, 0x83) // as the standard has it
		r.u16(len(c.usage))
		r.bytes(c.usage...)
		describeTimeouts(r)
	default:
		r.bytes(0, 0x03)
		r.u16(len(c.usage))
		r.bytes(c.usage...)
	}
}

// describeTimeouts writes a command timeouts descriptor (SPC-4 6.35.4) that names none: how
// long a command takes is up to the device behind the unit.
func describeTimeouts(r *reply) {
	r.u16(0x0a)
	r.zeroes(10)
}

// reportFunctions tells what manage.go does. REPD asks for the longer form, with timeouts
// that are not known.
func (t *Task) reportFunctions(_, in []byte) {
	r := reply{p: in}
	extended := t.cdb[2]&0x80 != 0
	r.bytes(0x80|0x40|0x10|0x08|0x02, 0, 0, 0) // ATS, ATSS, CTSS, LURS, TRS
	if extended {
		r.set(3, 12)
		r.zeroes(12)
	}
	t.replied(r)
}

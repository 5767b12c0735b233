package scsi

func spcStartCommands() []command {
	return []command{{
		name:  "START STOP UNIT", // SBC-3 5.25, MMC-5 6.42
		usage: []byte{0x1b, 0x01, 0x00, 0x0f, 0xf7, 0x00},
		types: both(), flags: waits, reserve: reserveStart,
		plan: func(t *Task) {
			if t.powerCondition() == 0 && t.cdb[4]&loejBit != 0 {
				t.mayChange()
			}
		},
		run: (*Task).flushToStop, locked: (*Task).startStop,
	}, {
		name:  "PREVENT ALLOW MEDIUM REMOVAL", // SBC-3 5.10, MMC-5 6.18
		usage: []byte{0x1e, 0x00, 0x00, 0x00, 0x03, 0x00},
		types: both(), reserve: reservePrevent,
		plan: func(t *Task) {
			if t.cdb[4]&0x01 != 0 {
				t.mayChange()
			}
		},
		locked: func(t *Task, _, _ []byte) { t.link.prevents = t.cdb[4]&0x01 != 0 },
	}}
}

const (
	startBit   = 0x01
	loejBit    = 0x02
	noFlushBit = 0x04
)

// powerCondition is the field POWER CONDITION, with which START and LOEJ mean nothing.
func (t *Task) powerCondition() byte { return t.cdb[4] >> 4 }

// flushToStop makes durable what is in the cache before the unit stops or gives the medium
// out.
func (t *Task) flushToStop(_, _ []byte) {
	if t.powerCondition() == 0 && t.cdb[4]&(startBit|noFlushBit) == 0 && t.medium != nil && !t.medium.readOnly {
		t.sync()
	}
}

// startStop gives the medium out or takes it in. There is no motor: a unit that was stopped
// stays ready, and so it does in all power conditions, reserved ones included, since
// initiators try them.
func (t *Task) startStop(_, _ []byte) {
	s := &t.unit.state
	if t.powerCondition() != 0 || t.cdb[4]&loejBit == 0 {
		return
	}
	load := t.cdb[4]&startBit != 0
	switch {
	case !t.unit.config.Removable:
		if !load {
			t.invalidField(4, 1)
		}
	case s.prevented():
		t.fail(Sense{Key: IllegalRequest, Code: CodeRemovalPrevented})
	case load && s.medium == nil:
		t.fail(Sense{Key: NotReady, Code: t.unit.noMedium()})
	case s.medium != nil && s.ejected == load:
		s.ejected = !load
		if !load {
			s.note(mediaRemoved)
		} else {
			s.tellMediumChanged(t.link)
		}
		if t.unit.config.OnEject != nil {
			t.after = (*Task).tellEject
		}
	}
}

// tellEject tells the owner of the unit.
func (t *Task) tellEject() { t.unit.config.OnEject(t.cdb[4]&startBit != 0) }

// tellMediumChanged has all initiators but by know that there is a medium now.
func (s *state) tellMediumChanged(by *link) {
	s.note(mediaNew)
	for _, l := range s.links {
		if l != by {
			l.establish(CodeMediumChanged)
		}
	}
}

package scsi

func spcReadyCommands() []command {
	return []command{{
		name:  "TEST UNIT READY", // SPC-4 6.47
		usage: []byte{0x00, 0x00, 0x00, 0x00, 0x00, 0x00},
		types: both(), flags: needsMedium, reserve: reserveReady,
		locked: func(*Task, []byte, []byte) {},
	}, {
		name:  "REQUEST SENSE", // SPC-4 6.39
		usage: []byte{0x03, 0x01, 0x00, 0x00, 0xff, 0x00},
		types: both(), flags: ignoresAttention | needsNoUnit, reserve: reserveAllowed,
		plan:   func(t *Task) { t.allocation(uint32(t.cdb[4])) },
		locked: (*Task).requestSense,
	}}
}

// requestSense gives a unit attention condition, which ends it, or says why the unit is
// not ready.
func (t *Task) requestSense(_, in []byte) {
	var s Sense
	switch {
	case t.unit == nil:
		s = Sense{Key: IllegalRequest, Code: CodeNoUnit}
	case t.link.attentions.n > 0:
		c, _ := t.link.attentions.first()
		t.link.attentions.clear(c)
		s = Sense{Key: UnitAttention, Code: c}
	case t.medium == nil:
		s = Sense{Key: NotReady, Code: t.unit.noMedium()}
	}
	r := reply{p: in}
	var buffer [32]byte
	r.bytes(s.Append(buffer[:0], t.cdb[1]&0x01 != 0)...)
	t.replied(r)
}

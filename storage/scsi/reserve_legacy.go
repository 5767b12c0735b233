package scsi

// RESERVE and RELEASE of SPC-2 (7.21 to 7.23, 7.16 to 7.18), for whole units and without third
// parties. How they get on with persistent reservations is in SPC-4 5.12.3.

func reserveLegacyCommands() []command {
	row := func(name string, flags commandFlags, locked func(*Task, []byte, []byte), usage ...byte) command {
		return command{name: name, usage: usage, types: both(), flags: flags, reserve: reserveOwn, locked: locked}
	}
	return []command{
		row("RESERVE(6)", changesUnit, (*Task).reserveUnit, 0x16, 0x00, 0x00, 0x00, 0x00, 0x00),
		row("RESERVE(10)", changesUnit, (*Task).reserveUnit, 0x56, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00),
		row("RELEASE(6)", 0, (*Task).releaseUnit, 0x17, 0x00, 0x00, 0x00, 0x00, 0x00),
		row("RELEASE(10)", 0, (*Task).releaseUnit, 0x57, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00),
	}
}

func (t *Task) reserveUnit(_, _ []byte) {
	r := &t.unit.state.reservations
	switch {
	case len(r.registrants) > 0:
		t.withRegistrants(r)
	case r.legacy != nil && r.legacy != t.link:
		t.finish(ReservationConflict)
	default:
		r.legacy = t.link
	}
}

// releaseUnit does nothing, and no harm, on behalf of a nexus that has reserved nothing.
func (t *Task) releaseUnit(_, _ []byte) {
	r := &t.unit.state.reservations
	switch {
	case len(r.registrants) > 0:
		t.withRegistrants(r)
	case r.legacy == t.link:
		r.legacy = nil
	}
}

// withRegistrants is RESERVE and RELEASE where there are registrations: they change nothing,
// and are refused unless the nexus may use the unit as a holder may (CRH, SPC-4 5.12.3).
func (t *Task) withRegistrants(r *reservations) {
	g := t.link.registrant
	if !r.holds(g) && (g == nil || !r.kind.registrantsOnly()) {
		t.finish(ReservationConflict)
	}
}

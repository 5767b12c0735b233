package scsi

// PERSISTENT RESERVE IN (SPC-4 6.15).
func reserveInCommands() []command {
	row := func(name string, action byte, locked func(*Task, []byte, []byte)) command {
		return command{
			name:  "PERSISTENT RESERVE IN, " + name,
			usage: []byte{0x5e, action, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00},
			types: both(), action: true, reserve: reservePersistent,
			plan: func(t *Task) { t.allocation(t.cdb16(7)) }, locked: locked,
		}
	}
	return []command{
		row("READ KEYS", 0x00, (*Task).readKeys),
		row("READ RESERVATION", 0x01, (*Task).readReservation),
		row("REPORT CAPABILITIES", 0x02, (*Task).reportReservations),
		row("READ FULL STATUS", 0x03, (*Task).readFullStatus),
	}
}

// readKeys is READ KEYS (SPC-4 6.15.2).
func (t *Task) readKeys(_, in []byte) {
	s := &t.unit.state.reservations
	r := reply{p: in}
	r.u32(s.generation)
	r.zeroes(4)
	for _, g := range s.registrants {
		r.u64(g.key)
	}
	r.length32(4, 8)
	t.replied(r)
}

// readReservation is READ RESERVATION (SPC-4 6.15.3). Where all registrants are holders the key
// is 0.
func (t *Task) readReservation(_, in []byte) {
	s := &t.unit.state.reservations
	r := reply{p: in}
	r.u32(s.generation)
	r.zeroes(4)
	if s.kind != notReserved {
		var key uint64
		if s.holder != nil {
			key = s.holder.key
		}
		r.u64(key)
		r.bytes(0, 0, 0, 0, 0, byte(s.kind), 0, 0)
	}
	r.length32(4, 8)
	t.replied(r)
}

// reportReservations is REPORT CAPABILITIES (SPC-4 6.15.4): reservations persist (PTPL_C) if
// the unit has a store, initiator ports can be named (SIP_C), but not all ports of the target at
// once (ATP_C is zero). ALLOW COMMANDS is 011b: TEST UNIT READY is allowed whatever is
// reserved, and the commands of reserveReads through reservations that exclude writing only.
func (t *Task) reportReservations(_, in []byte) {
	s := &t.unit.state.reservations
	r := reply{p: in}
	r.u16(8)
	r.bytes(0x10 | 0x08 | bit(t.unit.config.Store != nil, 0x01)) // CRH, SIP_C, PTPL_C
	r.bytes(0x80 | 3<<4 | bit(s.persists, 0x01))                 // TMV, ALLOW COMMANDS, PTPL_A
	r.bytes(0xea, 0x01, 0, 0)                                    // all six types
	t.replied(r)
}

// readFullStatus is READ FULL STATUS (SPC-4 6.15.5).
func (t *Task) readFullStatus(_, in []byte) {
	s := &t.unit.state.reservations
	r := reply{p: in}
	r.u32(s.generation)
	r.zeroes(4)
	for _, g := range s.registrants {
		r.u64(g.key)
		r.zeroes(4)
		if s.holds(g) {
			r.bytes(0x01, byte(s.kind)) // R_HOLDER
		} else {
			r.bytes(0, 0)
		}
		r.zeroes(4)
		r.u16(int(g.nexus.relative))
		at := r.n
		r.zeroes(4)
		r.transportID(g.nexus.initiator)
		r.length32(at, at+4)
	}
	r.length32(4, 8)
	t.replied(r)
}

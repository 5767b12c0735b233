package scsi

// INQUIRY (SPC-4 6.6) is done whatever the state of the unit is, and where there is no
// unit.

func spcInquiryCommands() []command {
	return []command{{
		name:  "INQUIRY",
		usage: []byte{0x12, 0x01, 0xff, 0xff, 0xff, 0x00},
		types: both(), flags: ignoresAttention | needsNoUnit, reserve: reserveAllowed,
		plan: planInquiry, locked: (*Task).inquire,
	}}
}

func planInquiry(t *Task) {
	if vital := t.cdb[1]&0x01 != 0; !vital && t.cdb[2] != 0 {
		t.invalidField(2, 7)
		return
	}
	t.allocation(t.cdb16(3))
}

func (t *Task) inquire(_, in []byte) {
	r := reply{p: in}
	if t.cdb[1]&0x01 != 0 {
		t.vitalData(&r)
		if t.done {
			return
		}
	} else {
		t.standardInquiry(&r)
	}
	t.replied(r)
}

// standardInquiry is the standard INQUIRY data (SPC-4 6.6.2).
func (t *Task) standardInquiry(r *reply) {
	if t.unit == nil {
		r.bytes(0x7f, 0, 0x06, 0x02) // no unit can be here (peripheral qualifier 011b)
		r.bytes(31)
		r.zeroes(31)
		return
	}
	c := &t.unit.config
	var removable byte
	if c.Removable {
		removable = 0x80
	}
	r.bytes(byte(c.Type), removable, 0x06, 0x12) // SPC-4, HISUP, response data format 2
	var copies byte
	if t.unit.commands.byOpcode[0x83] != nil {
		copies = 0x08 // 3PC
	}
	r.bytes(0, copies, 0, 0x02) // additional length, CMDQUE
	r.text(c.Vendor, 8)
	r.text(c.Product, 16)
	r.text(c.Revision, 4)
	r.zeroes(58 - 36)
	t.versions(r)
	r.zeroes(74 - r.n)
	r.set(4, byte(r.n-5))
}

// versions writes the version descriptors (SPC-4 6.6.2).
func (t *Task) versions(r *reply) {
	r.u16(0x0080) // SAM-4
	r.u16(0x0460) // SPC-4
	if t.unit.config.Type == CDROM {
		r.u16(0x0420) // MMC-5
	} else {
		r.u16(0x04c0) // SBC-3
	}
	if t.nexus.config.Port.Protocol == ProtocolISCSI {
		r.u16(0x0960)
	}
}

package scsi

func spcLogCommands() []command {
	return []command{{
		name:  "LOG SENSE", // SPC-4 6.8
		usage: []byte{0x4d, 0x00, 0xff, 0xff, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00},
		types: both(), reserve: reserveAllowed,
		plan: func(t *Task) { t.allocation(t.cdb16(7)) }, locked: (*Task).logSense,
	}}
}

// logPages are the pages that there are: the list of them (SPC-4 7.3.18, with subpages
// 7.3.19), and that no failure is predicted (7.3.8).
var logPages = [...][2]byte{{0x00, 0x00}, {0x00, 0xff}, {0x2f, 0x00}}

// logSense gives the current cumulative values (PC 01b), which are also all others.
func (t *Task) logSense(_, in []byte) {
	r := reply{p: in}
	page, subpage := t.cdb[2]&0x3f, t.cdb[3]
	switch [2]byte{page, subpage} {
	case [2]byte{0x00, 0x00}:
		r.bytes(0x00, 0, 0, 0)
		for _, p := range logPages {
			if p[1] == 0 {
				r.bytes(p[0])
			}
		}
	case [2]byte{0x00, 0xff}:
		r.bytes(0x40, 0xff, 0, 0) // SPF
		for _, p := range logPages {
			r.bytes(p[0], p[1])
		}
	case [2]byte{0x2f, 0x00}:
		r.bytes(0x2f, 0, 0, 0)
		r.bytes(0x00, 0x00, 0x03, 0x04) // parameter 0000h, binary, four bytes
		r.bytes(0, 0, 0xff, 0)          // no code, no qualifier, no temperature known
	default:
		if page == 0x00 || page == 0x2f {
			t.invalidField(3, 7)
		} else {
			t.invalidField(2, 5)
		}
		return
	}
	r.length16(2, 4)
	t.replied(r)
}

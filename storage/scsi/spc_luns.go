package scsi

import (
	"maps"
	"slices"
)

// REPORT LUNS (SPC-4 6.33) is done whatever the state of the unit is, and where there
// is no unit.

func spcLUNsCommands() []command {
	return []command{{
		name:  "REPORT LUNS",
		usage: []byte{0xa0, 0x00, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
		types: both(), flags: ignoresAttention | needsNoUnit, reserve: reserveAllowed,
		plan: planReportLUNs, locked: (*Task).reportLUNs,
	}}
}

func planReportLUNs(t *Task) {
	switch {
	case t.cdb[2] > 0x02:
		t.invalidField(2, 7)
	case t.cdb32(6) < 16:
		t.invalidField(6, 7)
	default:
		t.allocation(t.cdb32(6))
	}
}

func (t *Task) reportLUNs(_, in []byte) {
	r := reply{p: in}
	r.zeroes(8)
	if t.cdb[2] != 0x01 { // 01h is well known logical units only, and we have none to tell of
		luns := *t.nexus.target.luns.Load()
		for _, n := range slices.Sorted(maps.Keys(luns)) {
			if t.nexus.access(n) != Hidden {
				r.u64(uint64(LUNOf(n)))
			}
		}
	}
	r.length32(0, 8)
	t.replied(r)
	if t.link != nil {
		t.link.attentions.clear(CodeLUNsChanged) // SPC-4 6.33.1
	}
}

package scsi

// A mediaEvent is what has happened to the medium since an initiator has asked (MMC-5 6.7.2.6).
type mediaEvent byte

const (
	mediaUnchanged    mediaEvent = 0
	mediaEjectRequest mediaEvent = 1
	mediaNew          mediaEvent = 2
	mediaRemoved      mediaEvent = 3
)

func mmcEventCommands() []command {
	return []command{{
		name:  "GET EVENT STATUS NOTIFICATION", // MMC-5 6.7
		usage: []byte{0x4a, 0x01, 0x00, 0x00, 0xff, 0x00, 0x00, 0xff, 0xff, 0x00},
		types: cdroms(), flags: ignoresAttention, reserve: reserveAllowed,
		plan: func(t *Task) {
			if t.cdb[1]&0x01 == 0 { // POLLED: nothing else is done
				t.invalidField(1, 0)
				return
			}
			t.allocation(t.cdb16(7))
		},
		locked: (*Task).getEvents,
	}, {
		name:  "MECHANISM STATUS", // MMC-5 6.12
		usage: []byte{0xbd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00},
		types: cdroms(), reserve: reserveReads,
		plan: func(t *Task) { t.allocation(t.cdb16(8)) },
		locked: func(t *Task, _, in []byte) {
			r := reply{p: in}
			r.bytes(0, bit(t.unit.state.ejected, 0x10), 0, 0, 0, 1, 0, 0) // no changer: one slot, no table
			t.replied(r)
		},
	}}
}

// mediaClass is the only class of events that there is here.
const mediaClass = 4

// getEvents tells the event of the medium, once.
func (t *Task) getEvents(_, in []byte) {
	r := reply{p: in}
	const supported = 1 << mediaClass
	if t.cdb[4]&supported == 0 {
		r.bytes(0, 2, 0x80, supported) // NEA
		t.replied(r)
		return
	}
	s := &t.unit.state
	r.bytes(0, 6, mediaClass, supported, byte(t.link.event))
	r.bytes(bit(s.ejected, 0x01)|bit(t.medium != nil, 0x02), 0, 0) // the tray is open; there is a medium
	t.replied(r)
	if t.limit >= r.n { // it was told
		t.link.event = mediaUnchanged
	}
}

// note has each initiator that asks learn what has happened to the medium.
func (s *state) note(e mediaEvent) {
	for _, l := range s.links {
		l.event = e
	}
}

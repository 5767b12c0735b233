package scsi

func mmcFeatureCommands() []command {
	return []command{{
		name:  "GET CONFIGURATION", // MMC-5 6.6
		usage: []byte{0x46, 0x03, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00},
		types: cdroms(), flags: ignoresAttention, reserve: reserveAllowed,
		plan: func(t *Task) {
			if t.cdb[1]&0x03 == 3 {
				t.invalidField(1, 1)
				return
			}
			t.allocation(t.cdb16(7))
		},
		locked: (*Task).getConfiguration,
	}}
}

// Profiles (MMC-5 5.3.1).
const (
	profileNone = 0x0000
	profileCD   = 0x0008
	profileDVD  = 0x0010
)

// profile is what the drive is with the medium that is in it.
func (t *Task) profile() int {
	switch {
	case t.medium == nil:
		return profileNone
	case t.last > maxCD:
		return profileDVD
	}
	return profileCD
}

// A feature is a row of the features that the drive has (MMC-5 5.3), in ascending order.
type feature struct {
	code    int
	version byte
	always  bool             // persistent
	of      func(p int) bool // whether it is current with a profile
	write   func(*Task, *reply)
}

func anyMedium(p int) bool { return p != profileNone }

func (t *Task) features() [6]feature {
	return [...]feature{
		{code: 0x0000, always: true, write: (*Task).profiles},
		{code: 0x0001, version: 2, always: true, write: func(_ *Task, r *reply) {
			r.u32(0x0001)       // SCSI
			r.bytes(0, 0, 0, 0) // no device busy events
		}},
		{code: 0x0003, always: true, write: func(_ *Task, r *reply) {
			r.bytes(0x20|0x08|0x01, 0, 0, 0) // a tray, EJECT, LOCK
		}},
		{code: 0x0010, of: anyMedium, write: func(t *Task, r *reply) {
			r.u32(uint32(t.unit.config.BlockSize))
			r.u16(1)
			r.bytes(0x01, 0) // there is a read-write error recovery page
		}},
		{code: 0x001e, of: func(p int) bool { return p == profileCD }, write: func(_ *Task, r *reply) {
			r.bytes(0, 0, 0, 0) // no audio, C2 errors or CD-TEXT
		}},
		{code: 0x001f, of: func(p int) bool { return p == profileDVD }, write: func(*Task, *reply) {}},
	}
}

func (t *Task) profiles(r *reply) {
	for _, p := range []int{profileDVD, profileCD} {
		r.u16(p)
		r.bytes(bit(p == t.profile(), 0x01), 0)
	}
}

// getConfiguration tells the features from a code on: all, those that are current, or one.
func (t *Task) getConfiguration(_, in []byte) {
	r := reply{p: in}
	profile := t.profile()
	r.zeroes(6)
	r.u16(profile)
	from := int(t.cdb16(2))
	for _, f := range t.features() {
		current := f.always || f.of(profile)
		switch t.cdb[1] & 0x03 {
		case 1:
			if !current {
				continue
			}
		case 2:
			if f.code != from {
				continue
			}
		}
		if f.code < from {
			continue
		}
		r.u16(f.code)
		r.bytes(f.version<<2 | bit(f.always, 0x02) | bit(current, 0x01))
		at := r.n
		r.bytes(0)
		f.write(t, &r)
		r.set(at, byte(r.n-at-1))
	}
	r.length32(0, 4)
	t.replied(r)
}

// capabilitiesPage is the page of capabilities and mechanical status (MMC-3 5.5.10). MMC-5 has features
// instead, but initiators ask for the page.
var capabilitiesPage = modePage{
	code: 0x2a, length: 20,
	write: func(t *Task, _ *modePages, page []byte) {
		const speed = 50 * 176         // KB/s: a speed must be said
		page[2] = 0x08 | 0x02 | 0x01   // reads DVD-ROM, CD-RW, CD-R
		page[6] = 0x20 | 0x08 | 0x01 | // a tray, EJECT, LOCK
			bit(t.unit.state.prevented(), 0x02) // and whether it is locked
		page[8], page[9] = speed>>8, speed&0xff
		page[14], page[15] = speed>>8, speed&0xff
	},
}

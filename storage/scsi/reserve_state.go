package scsi

import "slices"

// reservations are what of a unit is reserved, and for whom: by RESERVE (SPC-2 7.21), and
// by PERSISTENT RESERVE OUT (SPC-4 5.12). It is a machine of its own: its operations
// (reserve_change.go) take nexuses by their names and return what they do to others.
type reservations struct {
	legacy *link // the nexus that has reserved the unit by RESERVE, or nil

	registrants []*registrant // in the order of their registration
	generation  uint32        // PRGENERATION
	kind        reservationType
	holder      *registrant // nil if there is none, or if all registrants are holders
	persists    bool        // APTPL of the registration that came last
}

// Bounds of the registrations of one unit, and of those among them of initiators of one
// name: one that leaves its registrations behind takes the room of no other.
const (
	maxRegistrants     = 512
	maxRegistrantsEach = 64
)

// A registrant is an I_T nexus with a key. It stays when the nexus goes.
type registrant struct {
	nexus nexusName
	key   uint64
}

// A nexusName is what an I_T nexus is known by when it has gone and comes again.
type nexusName struct {
	initiator    InitiatorPort
	device, port string // of the target
	relative     uint16 // relative identifier of the port
}

func (n *Nexus) name() nexusName {
	p := &n.config.Port
	return nexusName{initiator: n.config.Initiator, device: p.Device, port: p.Name, relative: p.Relative}
}

// A reservationType is the TYPE of a persistent reservation (SPC-4 6.15.3.4).
type reservationType byte

const (
	notReserved                    reservationType = 0
	writeExclusive                 reservationType = 1
	exclusiveAccess                reservationType = 3
	writeExclusiveRegistrantsOnly  reservationType = 5
	exclusiveAccessRegistrantsOnly reservationType = 6
	writeExclusiveAllRegistrants   reservationType = 7
	exclusiveAccessAllRegistrants  reservationType = 8
)

func (k reservationType) valid() bool {
	switch k {
	case writeExclusive, exclusiveAccess, writeExclusiveRegistrantsOnly, exclusiveAccessRegistrantsOnly,
		writeExclusiveAllRegistrants, exclusiveAccessAllRegistrants:
		return true
	}
	return false
}

// allRegistrants says whether each registrant is a holder.
func (k reservationType) allRegistrants() bool {
	return k == writeExclusiveAllRegistrants || k == exclusiveAccessAllRegistrants
}

func (k reservationType) registrantsOnly() bool {
	return k == writeExclusiveRegistrantsOnly || k == exclusiveAccessRegistrantsOnly
}

// excludesReads says whether those that are excluded may not read either.
func (k reservationType) excludesReads() bool {
	return k == exclusiveAccess || k == exclusiveAccessRegistrantsOnly || k == exclusiveAccessAllRegistrants
}

// find returns the registrant of a name, or nil.
func (r *reservations) find(n nexusName) *registrant {
	if i := slices.IndexFunc(r.registrants, func(g *registrant) bool { return g.nexus == n }); i >= 0 {
		return r.registrants[i]
	}
	return nil
}

// holds says whether g, which may be nil, is a holder of the persistent reservation.
func (r *reservations) holds(g *registrant) bool {
	return g != nil && r.kind != notReserved && (g == r.holder || r.kind.allRegistrants())
}

// conflict says whether a command of this link conflicts with a reservation: the columns of
// SPC-2 5.5.1, table 10, of SPC-4 5.12.1, table 64, and of SBC-3 4.16, table 13.
func (r *reservations) conflict(l *link, c *command, cdb []byte) bool {
	if r.legacy == nil && r.kind == notReserved || c.reserve == reserveAllowed || c.reserve == reserveOwn {
		return false
	}
	if r.legacy != nil {
		switch {
		case c.reserve == reservePersistent:
			return true
		case r.legacy.is(l) || c.reserve == reservePrevent && !flagged(cdb, 0x01):
			return false
		}
		return true
	}
	g := l.registrant
	if r.holds(g) || g != nil && r.kind.registrantsOnly() {
		return false
	}
	switch c.reserve {
	case reserveReads:
		return r.kind.excludesReads()
	case reserveWrites:
		return true
	case reservePrevent:
		return flagged(cdb, 0x01)
	case reserveStart:
		return !flagged(cdb, 0x01) || flagged(cdb, 0xf0) // SBC-3: START is one, POWER CONDITION zero
	}
	return false
}

// flagged says whether one of the bits is set in byte 4 of the CDB.
func flagged(cdb []byte, bits byte) bool { return len(cdb) > 4 && cdb[4]&bits != 0 }

// is says whether two links are of one nexus: a third-party copy has links of its own.
func (l *link) is(o *link) bool { return l == o || l.nexus.name() == o.nexus.name() }

// loseNexus frees what a nexus had reserved by RESERVE.
func (r *reservations) loseNexus(l *link) {
	if r.legacy == l {
		r.legacy = nil
	}
}

// reset frees what was reserved by RESERVE.
func (r *reservations) reset() { r.legacy = nil }

// relink has the links of a unit know their registrants.
func (s *state) relink() {
	byName := make(map[nexusName]*registrant, len(s.reservations.registrants))
	for _, g := range s.reservations.registrants {
		byName[g.nexus] = g
	}
	for _, l := range s.links {
		l.registrant = byName[l.nexus.name()]
	}
}

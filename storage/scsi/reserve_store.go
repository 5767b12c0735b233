package scsi

// savedReservations are registrations that persist over a loss of power (APTPL, SPC-4 5.12.5), in
// what a Store keeps.
type savedReservations struct {
	Type        byte              `json:"type,omitempty"`
	Registrants []savedRegistrant `json:"registrants"`
}

type savedRegistrant struct {
	Key      uint64        `json:"key"`
	Holder   bool          `json:"holder,omitempty"`
	Port     InitiatorPort `json:"initiator"`
	Target   string        `json:"target,omitempty"`
	To       string        `json:"port,omitempty"`
	Relative uint16        `json:"relative"`
}

// encode returns nil if nothing persists.
func (r *reservations) encode() *savedReservations {
	if !r.persists {
		return nil
	}
	v := &savedReservations{Type: byte(r.kind)}
	for _, g := range r.registrants {
		n := g.nexus
		v.Registrants = append(v.Registrants, savedRegistrant{
			Key: g.key, Holder: g == r.holder, Port: n.initiator, Target: n.device, To: n.port, Relative: n.relative,
		})
	}
	return v
}

// decode reads what encode has made, and says whether it can be that.
func (r *reservations) decode(v *savedReservations) bool {
	*r = reservations{}
	if v == nil {
		return true
	}
	r.persists, r.kind = true, reservationType(v.Type)
	for _, have := range v.Registrants {
		g := &registrant{key: have.Key, nexus: nexusName{
			initiator: have.Port, device: have.Target, port: have.To, relative: have.Relative,
		}}
		if have.Key == 0 || have.Holder && r.holder != nil || r.find(g.nexus) != nil {
			return false
		}
		if r.registrants = append(r.registrants, g); have.Holder {
			r.holder = g
		}
	}
	if r.kind == notReserved {
		return r.holder == nil
	}
	return r.kind.valid() && len(r.registrants) > 0 && len(r.registrants) <= maxRegistrants &&
		(r.holder == nil) == r.kind.allRegistrants()
}

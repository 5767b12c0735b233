package scsi

import "slices"

// Service actions of PERSISTENT RESERVE OUT (SPC-4 6.16.2).
const (
	outRegister        byte = 0
	outReserve         byte = 1
	outRelease         byte = 2
	outClear           byte = 3
	outPreempt         byte = 4
	outPreemptAndAbort byte = 5
	outRegisterIgnore  byte = 6
	outMove            byte = 7
)

// An outRequest is what PERSISTENT RESERVE OUT asks for.
type outRequest struct {
	action   byte
	scope    byte
	kind     reservationType
	key      uint64      // RESERVATION KEY
	newKey   uint64      // SERVICE ACTION RESERVATION KEY
	persists bool        // APTPL
	others   []nexusName // SPEC_I_PT: to be registered as well
	to       nexusName   // REGISTER AND MOVE: who gets the reservation
	leave    bool        // UNREG
}

// A change is what an operation on reservations does besides changing them. One that has
// failed, with conflict or a sense, has changed nothing.
type change struct {
	conflict bool // RESERVATION CONFLICT
	sense    Sense
	notices  []notice    // unit attention conditions of others
	removed  []nexusName // others that have lost their registration to PREEMPT
	changed  bool
}

type notice struct {
	nexus nexusName
	code  Code
}

func failed(s Sense) change { return change{sense: s} }

// inList is INVALID FIELD IN PARAMETER LIST.
func inList(at, bit int) Sense {
	return Sense{Key: IllegalRequest, Code: CodeInvalidParameter}.PointTo(false, at, bit)
}

// apply does what a nexus asks for.
func (r *reservations) apply(by nexusName, q *outRequest) change {
	g := r.find(by)
	switch q.action {
	case outRegister, outRegisterIgnore:
		return r.register(by, g, q)
	}
	if g == nil || g.key != q.key { // SPC-4 5.12.2, table 65
		return change{conflict: true}
	}
	switch q.action {
	case outReserve:
		return r.reserve(g, q)
	case outRelease:
		return r.release(g, q)
	case outClear:
		return r.clear(g)
	case outMove:
		return r.move(g, q)
	}
	return r.preempt(g, q)
}

// register is REGISTER and REGISTER AND IGNORE EXISTING KEY (SPC-4 5.12.7).
func (r *reservations) register(by nexusName, g *registrant, q *outRequest) change {
	var key uint64
	if g != nil {
		key = g.key
	}
	switch {
	case q.action == outRegister && q.key != key:
		return change{conflict: true}
	case g != nil && q.others != nil:
		return failed(inList(20, 3))
	case g == nil && q.newKey == 0:
		return change{}
	case g != nil && q.newKey == 0:
		c := change{changed: true}
		r.leave(g, &c)
		r.generation++
		r.persists = q.persists
		return c
	}
	if g != nil {
		g.key = q.newKey
	} else if s := r.enrol(append([]nexusName{by}, q.others...), q.newKey); s.Key != NoSense {
		return failed(s)
	}
	r.generation++
	r.persists = q.persists
	return change{changed: true}
}

// enrol adds registrants, all or none.
func (r *reservations) enrol(names []nexusName, key uint64) Sense {
	had := len(r.registrants)
	each := map[string]int{}
	for _, g := range r.registrants {
		each[g.nexus.initiator.Name]++
	}
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			continue
		}
		var s Sense
		if each[n.initiator.Name]++; r.find(n) != nil {
			s = inList(24, -1)
		} else if len(r.registrants) >= maxRegistrants || each[n.initiator.Name] > maxRegistrantsEach {
			s = Sense{Key: IllegalRequest, Code: CodeRegistrationResources}
		}
		if s.Key != NoSense {
			r.registrants = r.registrants[:had]
			return s
		}
		r.registrants = append(r.registrants, &registrant{n, key})
	}
	return Sense{}
}

// leave takes g out of the registrants. What it holds alone is free (SPC-4 5.12.11.3).
func (r *reservations) leave(g *registrant, c *change) {
	held := r.holds(g)
	r.registrants = slices.DeleteFunc(r.registrants, func(o *registrant) bool { return o == g })
	switch {
	case !held, r.kind.allRegistrants() && len(r.registrants) > 0:
		return
	case r.kind.registrantsOnly():
		r.tell(c, CodeReservationsReleased, g)
	}
	r.kind, r.holder = notReserved, nil
}

// tell has all registrants but g know.
func (r *reservations) tell(c *change, code Code, g *registrant) {
	for _, o := range r.registrants {
		if o != g {
			c.notices = append(c.notices, notice{o.nexus, code})
		}
	}
}

// reserve is RESERVE (SPC-4 5.12.9).
func (r *reservations) reserve(g *registrant, q *outRequest) change {
	if s := q.checkType(); s.Key != NoSense {
		return failed(s)
	}
	if r.kind != notReserved {
		return change{conflict: !r.holds(g) || r.kind != q.kind}
	}
	r.hold(g, q.kind)
	return change{changed: true}
}

func (r *reservations) hold(g *registrant, kind reservationType) {
	if r.kind, r.holder = kind, g; kind.allRegistrants() {
		r.holder = nil
	}
}

// checkType refuses a scope and a type that there are not.
func (q *outRequest) checkType() (s Sense) {
	switch {
	case q.scope != 0: // LU_SCOPE
		s = Sense{Key: IllegalRequest, Code: CodeInvalidField}.PointTo(true, 2, 7)
	case !q.kind.valid():
		s = Sense{Key: IllegalRequest, Code: CodeInvalidField}.PointTo(true, 2, 3)
	}
	return s
}

// release is RELEASE (SPC-4 5.12.11.1).
func (r *reservations) release(g *registrant, q *outRequest) change {
	switch {
	case !r.holds(g):
		return change{}
	case q.scope != 0 || q.kind != r.kind:
		return failed(Sense{Key: IllegalRequest, Code: CodeInvalidRelease})
	}
	c := change{changed: true}
	if r.kind.registrantsOnly() || r.kind.allRegistrants() {
		r.tell(&c, CodeReservationsReleased, g)
	}
	r.kind, r.holder = notReserved, nil
	return c
}

// clear is CLEAR (SPC-4 5.12.11.4).
func (r *reservations) clear(g *registrant) change {
	c := change{changed: true}
	r.tell(&c, CodeReservationsPreempted, g)
	r.registrants, r.kind, r.holder = nil, notReserved, nil
	r.generation++
	return c
}

// preempt is PREEMPT and PREEMPT AND ABORT (SPC-4 5.12.11.2). It takes the reservation if
// the key is that of its holder, or 0 where all registrants are holders. If not, it takes
// registrations only.
func (r *reservations) preempt(g *registrant, q *outRequest) change {
	all := r.kind.allRegistrants()
	takes := r.holder != nil && r.holder.key == q.newKey || all && q.newKey == 0
	if takes {
		if s := q.checkType(); s.Key != NoSense {
			return failed(s)
		}
	} else if q.newKey == 0 {
		return failed(inList(8, -1))
	}
	c := change{changed: true}
	lost := func(o *registrant) bool {
		return (o.key == q.newKey || takes && all) && (o != g || !takes)
	}
	if !takes && !slices.ContainsFunc(r.registrants, lost) {
		return change{conflict: true}
	}
	before := r.kind
	for _, o := range slices.Clone(r.registrants) {
		if !lost(o) {
			continue
		}
		r.registrants = slices.DeleteFunc(r.registrants, func(x *registrant) bool { return x == o })
		if o != g {
			c.removed = append(c.removed, o.nexus)
			c.notices = append(c.notices, notice{o.nexus, CodeRegistrationsPreempted})
		}
	}
	switch {
	case takes:
		if r.hold(g, q.kind); q.kind != before {
			r.tell(&c, CodeReservationsReleased, g)
		}
	case all && len(r.registrants) == 0:
		r.kind = notReserved
	}
	r.generation++
	return c
}

// move is REGISTER AND MOVE (SPC-4 5.12.8).
func (r *reservations) move(g *registrant, q *outRequest) change {
	switch {
	case r.kind == notReserved:
		return failed(Sense{Key: IllegalRequest, Code: CodeInvalidField}.PointTo(true, 1, 4))
	case !r.holds(g) || r.kind.allRegistrants():
		return change{conflict: true}
	case q.newKey == 0:
		return failed(inList(8, -1))
	case q.to == g.nexus:
		return failed(inList(24, -1))
	}
	to := r.find(q.to)
	if to == nil {
		if s := r.enrol([]nexusName{q.to}, q.newKey); s.Key != NoSense {
			return failed(s)
		}
		to = r.find(q.to)
	}
	to.key = q.newKey
	r.hold(to, r.kind)
	r.generation++
	r.persists = q.persists
	c := change{changed: true}
	if q.leave {
		r.leave(g, &c)
	}
	return c
}

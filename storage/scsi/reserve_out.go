package scsi

import (
	"encoding/binary"
	"slices"
)

// PERSISTENT RESERVE OUT (SPC-4 6.16).
func reserveOutCommands() []command {
	row := func(name string, action byte) command {
		return command{
			name:  "PERSISTENT RESERVE OUT, " + name,
			usage: []byte{0x5f, action, 0xff, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00},
			types: both(), action: true, flags: waits | changesUnit, reserve: reservePersistent,
			plan: (*Task).planOut, locked: (*Task).persistentOut,
		}
	}
	return []command{
		row("REGISTER", outRegister),
		row("RESERVE", outReserve),
		row("RELEASE", outRelease),
		row("CLEAR", outClear),
		row("PREEMPT", outPreempt),
		row("PREEMPT AND ABORT", outPreemptAndAbort),
		row("REGISTER AND IGNORE EXISTING KEY", outRegisterIgnore),
		row("REGISTER AND MOVE", outMove),
	}
}

const (
	outHeader  = 24      // of the parameter list
	maxOutList = 8 << 10 // bytes of a parameter list with TransportIDs
)

func (t *Task) planOut() {
	n := t.cdb32(5)
	if n < outHeader || n > maxOutList {
		t.fail(Sense{Key: IllegalRequest, Code: CodeParameterListLength})
		return
	}
	t.DataOut = int(n)
}

// persistentOut does the service action of the CDB, and what follows from it.
func (t *Task) persistentOut(out, _ []byte) {
	q, sense := t.parseOut(out)
	if sense.Key != NoSense {
		t.fail(sense)
		return
	}
	s := &t.unit.state
	had := s.reservations.persists
	c := s.reservations.apply(t.nexus.name(), &q)
	t.Transferred = t.DataOut
	switch {
	case c.conflict:
		t.finish(ReservationConflict)
		return
	case c.sense.Key != NoSense:
		t.fail(c.sense)
		return
	case !c.changed:
		return
	}
	s.relink()
	s.tell(c.notices)
	saves := had || s.reservations.persists
	var done <-chan struct{}
	if q.action == outPreemptAndAbort {
		removed := make(map[nexusName]bool, len(c.removed))
		for _, n := range c.removed {
			removed[n] = true
		}
		done = s.abort(func(l *link) bool { return removed[l.nexus.name()] }, t.link)
	}
	if done != nil || saves {
		t.then = func(t *Task) { t.afterOut(done, saves) }
	}
}

// tell establishes the unit attention conditions of nexuses that are there.
func (s *state) tell(notices []notice) {
	codes := make(map[nexusName][]Code, len(notices))
	for _, n := range notices {
		codes[n.nexus] = append(codes[n.nexus], n.code)
	}
	for _, l := range s.links {
		if !l.lost {
			for _, c := range codes[l.nexus.name()] {
				l.establish(c)
			}
		}
	}
}

// afterOut waits until no task of a nexus that was preempted does anything to the medium any
// more (SPC-4 5.12.11.2.6), and saves registrations that persist, or that none do.
//
// Tasks that wait here wait for such that were aborted before they waited themselves, so they
// never wait for each other.
func (t *Task) afterOut(done <-chan struct{}, saves bool) {
	if saves {
		t.persist()
	}
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-t.ctx.Done():
		t.fail(Sense{Key: AbortedCommand})
	}
}

// parseOut reads the parameter list.
func (t *Task) parseOut(out []byte) (q outRequest, s Sense) {
	q = outRequest{action: t.cdb[1] & 0x1f, scope: t.cdb[2] >> 4, kind: reservationType(t.cdb[2] & 0x0f)}
	if len(out) < t.DataOut {
		return q, Sense{Key: IllegalRequest, Code: CodeParameterListLength}
	}
	q.key, q.newKey = binary.BigEndian.Uint64(out), binary.BigEndian.Uint64(out[8:])
	flags, flagsAt := out[20], 20
	if q.action == outMove {
		flags, flagsAt = out[17], 17
		q.leave = flags&0x02 != 0
	}
	registers := q.action == outRegister || q.action == outRegisterIgnore
	q.persists = flags&0x01 != 0 && (registers || q.action == outMove)
	switch {
	case q.persists && t.unit.config.Store == nil: // PTPL_C is zero
		return q, inList(flagsAt, 0)
	case q.action == outMove:
		return q, t.parseMove(out, &q)
	case registers && flags&0x04 != 0: // ALL_TG_PT is optional (SPC-4 6.16.3), and ATP_C zero
		return q, inList(20, 2)
	case flags&0x08 != 0: // SPEC_I_PT
		if q.action != outRegister {
			return q, inList(20, 3)
		}
		return q, t.parseOthers(out, &q)
	case len(out) != outHeader:
		return q, Sense{Key: IllegalRequest, Code: CodeParameterListLength}
	}
	return q, s
}

// parseOthers reads the initiator ports that SPEC_I_PT names, all at the port of this nexus
// (SPC-4 6.16.3).
func (t *Task) parseOthers(out []byte, q *outRequest) Sense {
	if len(out) < outHeader+4 || binary.BigEndian.Uint32(out[outHeader:]) != uint32(len(out)-outHeader-4) {
		return Sense{Key: IllegalRequest, Code: CodeParameterListLength}
	}
	q.others = []nexusName{}
	for at := outHeader + 4; at < len(out); {
		port, device, n, ok := parseTransportID(out[at:])
		if !ok {
			return inList(at, -1)
		}
		name := t.nexus.name()
		name.initiator = port
		if !device {
			q.others = append(q.others, name)
		} else if known := t.portsOf(port.Name); len(known) > 0 {
			q.others = append(q.others, known...)
		} else {
			return inList(at, -1)
		}
		at += n
	}
	return Sense{}
}

// portsOf are the nexuses of an initiator device at the port of this nexus, as far as the
// unit knows them.
func (t *Task) portsOf(device string) (names []nexusName) {
	here := t.nexus.name()
	for _, l := range t.unit.state.links {
		n := l.nexus.name()
		if here.initiator = n.initiator; !l.lost && n == here && n.initiator.Name == device {
			names = append(names, n)
		}
	}
	return names
}

// parseMove reads what REGISTER AND MOVE has in its list (SPC-4 6.16.4).
func (t *Task) parseMove(out []byte, q *outRequest) Sense {
	if binary.BigEndian.Uint32(out[20:]) != uint32(len(out)-outHeader) {
		return Sense{Key: IllegalRequest, Code: CodeParameterListLength}
	}
	port, device, n, ok := parseTransportID(out[outHeader:])
	if !ok || device || n != len(out)-outHeader {
		return inList(outHeader, -1)
	}
	q.to = t.nexus.name()
	if relative := binary.BigEndian.Uint16(out[18:]); relative != q.to.relative {
		i := slices.IndexFunc(t.unit.state.links, func(l *link) bool {
			n := l.nexus.name()
			return l.nexus.target == t.nexus.target && n.relative == relative
		})
		if i < 0 {
			return inList(18, -1)
		}
		q.to = t.unit.state.links[i].nexus.name()
	}
	q.to.initiator = port
	return Sense{}
}

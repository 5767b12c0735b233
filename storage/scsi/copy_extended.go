package scsi

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync/atomic"
)

// Third-party copies (SPC-4 5.16): a unit copies blocks from and to units of its target. It
// does so as an initiator would, by READ and WRITE of a nexus of its own that has the name
// of the one which has asked for it: what that one may not do by itself it does not do for it.

func copyExtendedCommands() []command {
	return []command{{
		name:  "EXTENDED COPY(LID1)", // SPC-4 6.5
		usage: []byte{0x83, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
		types: disks(), action: true, reserve: reserveWrites,
		plan: (*Task).planCopy, run: (*Task).extendedCopy,
	}}
}

// A copyRecord is what RECEIVE COPY STATUS tells of a command. But for what stands below
// state, it belongs to the unit's state.
type copyRecord struct {
	id       byte
	state    byte // COPY COMMAND STATUS
	sense    []byte
	status   Status
	segments atomic.Int64
	bytes    atomic.Int64
}

// COPY COMMAND STATUS (SPC-4 6.24).
const (
	copyRuns   = 0x00
	copyDone   = 0x01
	copyFailed = 0x02
)

func (t *Task) planCopy() {
	switch n := t.cdb32(10); {
	case n == 0: // nothing to copy is no error
	case n < copyHeader || n > copyHeader+maxCopyDescriptors:
		t.fail(Sense{Key: IllegalRequest, Code: CodeParameterListLength})
	default:
		t.DataOut = int(n)
	}
}

// extendedCopy copies all segments, one after the other, up to the first that fails.
func (t *Task) extendedCopy(out, _ []byte) {
	if t.DataOut == 0 {
		return
	}
	if len(out) < t.DataOut {
		t.fail(Sense{Key: IllegalRequest, Code: CodeParameterListLength})
		return
	}
	list, s := parseCopyList(out)
	if s.Key != NoSense {
		t.fail(s)
		return
	}
	record, ok := t.startCopy(&list)
	if !ok {
		return
	}
	m := newCopyManager(t, record)
	m.copy(&list)
	m.close()
	t.endCopy(&list, record)
	if !t.done {
		t.Transferred = t.DataOut
	}
}

// startCopy notes the list identifier, in place of a command that has ended and had the same
// (SPC-4 6.4.3.2).
func (t *Task) startCopy(list *copyList) (*copyRecord, bool) {
	r := &copyRecord{id: list.id}
	if list.usage == usageNone {
		return r, true
	}
	t.unit.lock()
	defer t.unit.unlock()
	l := t.link
	if old := l.copy(list.id); old != nil {
		if old.state == copyRuns {
			t.fail(Sense{Key: IllegalRequest, Code: CodeOperationInProgress})
			return nil, false
		}
		l.copies = slices.DeleteFunc(l.copies, func(o *copyRecord) bool { return o == old })
	}
	if len(l.copies) == maxCopies {
		i := slices.IndexFunc(l.copies, func(o *copyRecord) bool { return o.state != copyRuns })
		if i < 0 {
			t.finish(TaskSetFull)
			return nil, false
		}
		l.copies = slices.Delete(l.copies, i, i+1)
	}
	l.copies = append(l.copies, r)
	return r, true
}

// copy returns the record of a list identifier, or nil.
func (l *link) copy(id byte) *copyRecord {
	for _, r := range l.copies {
		if r.id == id {
			return r
		}
	}
	return nil
}

// endCopy notes how the command has ended, unless nobody is to ask for it.
func (t *Task) endCopy(list *copyList, r *copyRecord) {
	t.unit.lock()
	defer t.unit.unlock()
	if r.state = copyDone; t.done || !t.goesOn() {
		r.state = copyFailed
	}
	if list.usage == usageDiscard {
		t.link.copies = slices.DeleteFunc(t.link.copies, func(o *copyRecord) bool { return o == r })
	}
}

// A copyManager does the segments of one command.
type copyManager struct {
	by     *Task
	record *copyRecord
	nexus  *Nexus
	task   Task
	buffer []byte
}

// copyBuffer is how many bytes are read and then written at once. Blocks of all sizes fill it.
const copyBuffer = 256 << 10

func newCopyManager(t *Task, r *copyRecord) *copyManager {
	c := t.nexus.config
	c.Notify = nil
	return &copyManager{by: t, record: r, nexus: t.nexus.target.Attach(c)}
}

func (m *copyManager) close() { <-m.nexus.Detach() }

// copy does all segments, or makes the command fail.
func (m *copyManager) copy(list *copyList) {
	units := make([]copyEnd, len(list.units))
	for i, u := range list.units {
		units[i] = m.find(u.name)
		if e := units[i]; e.unit != nil && u.blockSize != 0 && u.blockSize != e.unit.config.BlockSize {
			m.by.fail(inList(u.at+29, -1))
			return
		}
	}
	end := func(i int) copyEnd {
		switch {
		case i == ownUnit:
			return copyEnd{m.by.unit, m.by.lun}
		case i < len(units):
			return units[i]
		}
		return copyEnd{}
	}
	for _, g := range list.segments {
		if !m.segment(end(g.from), end(g.to), g) {
			return
		}
		m.record.segments.Add(1)
	}
}

// A copyEnd is a unit to copy from or to. Its unit is nil if it was not found.
type copyEnd struct {
	unit *Unit
	lun  LUN
}

// find returns the unit of an NAA name among those that the nexus may use.
func (m *copyManager) find(name uint64) copyEnd {
	luns := *m.nexus.target.luns.Load()
	for _, lun := range slices.Sorted(maps.Keys(luns)) {
		if u := luns[lun].unit; u.naa() == name && m.nexus.access(lun) != Hidden {
			return copyEnd{u, LUNOf(lun)}
		}
	}
	return copyEnd{}
}

// abort makes the command fail in a segment (SPC-4 5.16.7.4). What the task that was done for it
// has met is kept for RECEIVE COPY FAILURE DETAILS.
func (m *copyManager) abort(c Code) bool {
	m.record.sense = slices.Clone(m.task.Sense())
	m.record.status = m.task.Status
	m.by.fail(Sense{Key: CopyAborted, Code: c})
	return false
}

// segment copies one segment.
func (m *copyManager) segment(from, to copyEnd, g copySegment) bool {
	m.task.Status, m.task.senseLength = Good, 0
	if from.unit == nil || to.unit == nil {
		return m.abort(CodeCopyUnitNotReachable)
	}
	if from.unit.config.Type != Disk || to.unit.config.Type != Disk {
		return m.abort(CodeCopyUnitType)
	}
	counted, other := from.unit.shift, to.unit.shift
	if g.ofTo {
		counted, other = other, counted
	}
	left := int64(g.blocks) << counted
	if left&(1<<other-1) != 0 {
		return m.abort(CodeInexactSegment)
	}
	if m.buffer == nil {
		m.buffer = make([]byte, copyBuffer)
	}
	// Where blocks are copied onto such that are copied later, the last come first.
	backwards := from.unit == to.unit && g.fromLBA < g.toLBA && g.toLBA-g.fromLBA < uint64(g.blocks)
	for total := left; left > 0; {
		n := min(left, copyBuffer)
		done := total - left
		if left -= n; backwards {
			done = left
		}
		p := m.buffer[:n]
		if !m.transfer(from, 0x88, g.fromLBA+uint64(done)>>from.unit.shift, p) ||
			!m.transfer(to, 0x8a, g.toLBA+uint64(done)>>to.unit.shift, p) {
			return false
		}
		m.record.bytes.Add(n)
	}
	return true
}

// transfer does READ(16) or WRITE(16), in as many commands as the unit needs.
func (m *copyManager) transfer(e copyEnd, opcode byte, lba uint64, p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), e.unit.config.MaxTransfer)
		var cdb [16]byte
		cdb[0] = opcode
		binary.BigEndian.PutUint64(cdb[2:], lba)
		binary.BigEndian.PutUint32(cdb[10:], uint32(n>>e.unit.shift))
		if !m.run(e.lun, cdb[:], p[:n]) {
			return false
		}
		lba += uint64(n >> e.unit.shift)
		p = p[n:]
	}
	return true
}

// run does one command, again after each unit attention condition, of which there are no more
// than a unit can have.
func (m *copyManager) run(lun LUN, cdb, p []byte) bool {
	for range len(attentions{}.codes) + 1 {
		if !m.by.goesOn() {
			return m.by.interrupted()
		}
		m.nexus.Begin(&m.task, lun, cdb)
		if m.task.DataOut > 0 {
			m.task.Execute(m.by.ctx, p, nil)
		} else {
			m.task.Execute(m.by.ctx, nil, p)
		}
		aborted, _ := m.task.Aborted()
		switch s := m.task.SenseError(); {
		case aborted:
			return m.abort(CodeNone)
		case m.task.Status == Good:
			return true
		case m.task.Status == CheckCondition && s.Key == UnitAttention:
			continue
		case m.task.Status == CheckCondition && s.Key != IllegalRequest:
			return m.abort(CodeCopyUnitFailure)
		}
		return m.abort(CodeNone)
	}
	return m.abort(CodeNone)
}

package scsi

import (
	"context"
	"sync/atomic"
)

const maxCDB = 16

// A Task is a command on its way. Its zero value is ready for Begin, and it may be used
// again when it has ended. It belongs to the transport, which hands it from the
// goroutine that calls Begin to the one that calls Execute.
type Task struct {
	// ExpectedOut is set by the transport before Begin, if its protocol tells: how many
	// bytes of data-out the initiator means to send. Commands that work on exactly as
	// much as they say refuse more. It is left as it is.
	ExpectedOut int

	// Set by Begin: the bytes of data-out that the command takes, and the most bytes of
	// data-in that it gives. At most one is not zero, and neither is above the unit's
	// MaxTransfer, or where that is less, 129 KB.
	DataOut, DataIn int

	// Set by Begin: the bytes of the medium that the command works on, from Lo up to
	// Hi. Both are zero if there are none, or if data-out say which.
	Lo, Hi int64

	// Set when the task is done.
	Status      Status
	Transferred int // bytes that the command transfers, were all buffers large enough

	nexus   *Nexus
	link    *link // nil where there is no unit
	unit    *Unit // nil where there is no unit
	lun     LUN
	command *command
	cdb     [maxCDB]byte

	// What plan and run share.
	lba     uint64
	blocks  uint64
	lo, hi  int64       // bytes that are worked on: Lo and Hi, or some that data-out say
	limit   int         // allocation length
	medium  *medium     // as of Begin
	last    uint64      // capacity in blocks, as of Begin
	through bool        // WCE is zero: writes are durable
	then    func(*Task) // what locked wants done when the token was given back,
	after   func(*Task) // and when the task is no more among those of the unit

	done        bool
	descriptor  bool // sense format
	sense       Sense
	senseBuffer [32]byte
	senseLength int

	ctx            context.Context // during Execute
	number         uint64          // of Begin, in the unit
	listed         bool            // in link.tasks
	previous, next *Task
	aborted        atomic.Uint32
}

const (
	notAborted        uint32 = iota
	abortedByOwn             // by the nexus itself, or its end
	abortedByOther           // by another nexus, which a unit attention tells
	abortedWithStatus        // by another nexus, which TASK ABORTED tells
)

// Begin starts a command. See the package documentation.
func (n *Nexus) Begin(t *Task, lun LUN, cdb []byte) {
	t.reset(n, lun, cdb)
	if len(cdb) == 0 {
		t.fail(Sense{Key: IllegalRequest, Code: CodeInvalidOpcode})
		return
	}
	t.link = n.find(lun)
	if t.link == nil {
		t.beginWithoutUnit(cdb)
		return
	}
	t.unit = t.link.unit
	t.unit.lock()
	defer t.unit.unlock()
	if t.link.lost { // the unit was taken away just now
		t.fail(Sense{Key: IllegalRequest, Code: CodeNoUnit})
		return
	}
	t.begin(cdb)
	if !t.done {
		s := &t.unit.state
		s.begun++
		t.number, t.listed = s.begun, true
		t.link.tasks.add(t)
	}
}

// reset makes t ready for a command.
func (t *Task) reset(n *Nexus, lun LUN, cdb []byte) {
	t.DataOut, t.DataIn, t.Lo, t.Hi = 0, 0, 0, 0
	t.Status, t.Transferred = Good, 0
	t.nexus, t.link, t.unit, t.lun, t.command = n, nil, nil, lun, nil
	t.cdb = [maxCDB]byte{}
	copy(t.cdb[:], cdb)
	t.lo, t.hi = 0, 0
	t.lba, t.blocks, t.limit, t.medium, t.last, t.through, t.then, t.after = 0, 0, 0, nil, 0, false, nil, nil
	t.done, t.descriptor, t.sense, t.senseLength = false, false, Sense{}, 0
	t.ctx, t.number, t.listed = nil, 0, false
	t.aborted.Store(notAborted)
}

// begin judges the command in the order of SAM-4 5.3.3. The token is held.
func (t *Task) begin(cdb []byte) {
	u, s := t.unit, &t.unit.state
	u.lookAtSize()
	t.descriptor = s.pages.descriptor
	c, known := u.commands.find(cdb, s)
	attention, pending := t.link.attentions.first()
	pending = pending && (c == nil || c.flags&ignoresAttention == 0)
	if pending && isReset(attention) {
		t.attend(attention)
		return
	}
	if c != nil && s.reservations.conflict(t.link, c, cdb) {
		t.finish(ReservationConflict)
		return
	}
	if pending {
		t.attend(attention)
		return
	}
	if !t.accept(c, known, cdb) {
		return
	}
	t.through = !s.pages.cache
	if s.medium != nil && !s.ejected {
		t.medium, t.last = s.medium, s.medium.blocks
	}
	if c.flags&needsMedium != 0 && !t.ready() {
		return
	}
	if c.flags&changesMedium != 0 {
		switch {
		case s.pages.protect:
			t.fail(Sense{Key: DataProtect, Code: CodeSoftwareWriteProtected})
			return
		case t.medium.readOnly || t.link.readOnly:
			t.fail(Sense{Key: DataProtect, Code: CodeWriteProtected})
			return
		}
	}
	if c.flags&changesUnit != 0 && !t.mayChange() {
		return
	}
	if c.plan != nil {
		c.plan(t)
	}
}

// mayChange says whether the nexus may change what others see of the unit, or makes the
// task fail: who may only read takes nothing from others.
func (t *Task) mayChange() bool {
	if t.link.readOnly {
		t.fail(Sense{Key: DataProtect, Code: CodeWriteProtected})
	}
	return !t.done
}

// ready says whether the medium may be used, or makes the task fail.
func (t *Task) ready() bool {
	if t.medium == nil {
		t.fail(Sense{Key: NotReady, Code: t.unit.noMedium()})
	}
	return !t.done
}

// attend tells of a unit attention condition, which ends it.
func (t *Task) attend(c Code) {
	t.link.attentions.clear(c)
	t.fail(Sense{Key: UnitAttention, Code: c})
}

// accept holds the CDB against the usage map of its command.
func (t *Task) accept(c *command, known bool, cdb []byte) bool {
	if c == nil {
		if known {
			t.invalidField(1, 4) // service action
		} else {
			t.fail(Sense{Key: IllegalRequest, Code: CodeInvalidOpcode}.PointTo(true, 0, -1))
		}
		return false
	}
	t.command = c
	if at, bit, bad := c.reserved(cdb); bad {
		t.invalidField(at, bit)
		return false
	}
	return true
}

// beginWithoutUnit is Begin for a LUN that has no unit.
func (t *Task) beginWithoutUnit(cdb []byte) {
	c, known := t.nexus.target.noUnit.find(cdb, nil)
	if c == nil || c.flags&needsNoUnit == 0 {
		t.fail(Sense{Key: IllegalRequest, Code: CodeNoUnit})
		return
	}
	if t.accept(c, known, cdb) && c.plan != nil {
		c.plan(t)
	}
}

// Done says whether the task has ended.
func (t *Task) Done() bool { return t.done }

// Inline says whether Execute will wait for nothing.
func (t *Task) Inline() bool { return t.done || t.command.run == nil && t.command.flags&waits == 0 }

// Aborted says whether the task was aborted, and whether its Status, TASK ABORTED, is
// told: without it there is no answer to the command (SAM-4 5.7.3).
func (t *Task) Aborted() (aborted, answer bool) {
	a := t.aborted.Load()
	return a != notAborted, a == abortedWithStatus
}

// Sense is the sense data of a task that has ended with CHECK CONDITION, in the format
// that the unit has been set to. It is valid until the task is used again.
func (t *Task) Sense() []byte { return t.senseBuffer[:t.senseLength] }

// SenseError is the same as a value.
func (t *Task) SenseError() Sense { return t.sense }

// Execute does the command, and ends the task. out is the data-out that has come, which
// may be less than DataOut: of blocks those are written that are whole. in takes data-in,
// and may be shorter than DataIn: what does not fit is left out. When ctx ends, or the
// task is aborted, it ends as soon as the device lets it.
//
// For a task that is done already, Execute does nothing.
func (t *Task) Execute(ctx context.Context, out, in []byte) {
	if t.done {
		return
	}
	out = out[:min(len(out), t.DataOut)]
	in = in[:min(len(in), t.DataIn)]
	t.ctx = ctx
	if t.command.run != nil && t.goesOn() {
		t.command.run(t, out, in)
	}
	t.end(out, in)
	t.ctx = nil
}

// end does what the command does to the state, and takes the task out of it.
func (t *Task) end(out, in []byte) {
	if t.unit == nil {
		t.command.locked(t, out, in)
		t.finish(t.Status)
		return
	}
	t.unit.lock()
	switch {
	case t.done:
	case t.ctx.Err() != nil:
		t.fail(Sense{Key: AbortedCommand})
	case t.command.locked != nil && t.goesOn():
		t.command.locked(t, out, in)
	}
	if t.then != nil {
		t.unit.unlock()
		t.then(t)
		t.unit.lock()
	}
	t.unlist()
	t.unit.unlock()
	if t.after != nil {
		t.after(t)
	}
	t.finish(t.Status)
}

// unlist takes the task out of the unit's state. The token is held.
func (t *Task) unlist() {
	if t.listed {
		t.listed = false
		t.unit.state.ended(t)
	}
}

// Abandon ends a task that will not be executed.
func (t *Task) Abandon() {
	if t.done {
		return
	}
	if t.unit != nil {
		t.unit.lock()
		t.unlist()
		t.unit.unlock()
	}
	t.finish(t.Status)
}

// goesOn says whether the task was not aborted, nor the context ended. Long work asks
// between its parts.
func (t *Task) goesOn() bool { return t.aborted.Load() == notAborted && t.ctx.Err() == nil }

// interrupted makes a command fail that must not go on, and returns false.
func (t *Task) interrupted() bool {
	t.fail(Sense{Key: AbortedCommand})
	return false
}

// finish ends the task with a status.
func (t *Task) finish(s Status) {
	if t.aborted.Load() == abortedWithStatus {
		s, t.Transferred, t.senseLength = TaskAborted, 0, 0
	}
	t.done, t.Status = true, s
}

// fail makes the task end with CHECK CONDITION.
func (t *Task) fail(s Sense) {
	t.sense = s
	t.senseLength = len(s.Append(t.senseBuffer[:0], t.descriptor))
	t.Transferred = 0
	t.done, t.Status = true, CheckCondition
}

// invalidField makes the task fail for a field of its CDB: the byte, and the highest bit
// of the field in it.
func (t *Task) invalidField(at, bit int) {
	t.fail(Sense{Key: IllegalRequest, Code: CodeInvalidField}.PointTo(true, at, bit))
}

// invalidParameter makes the task fail for a field of its parameter list.
func (t *Task) invalidParameter(at, bit int) {
	t.fail(Sense{Key: IllegalRequest, Code: CodeInvalidParameter}.PointTo(false, at, bit))
}

package scsi

// Task management (SAM-4 7). The transport itself knows the tags of its tasks: ABORT
// TASK is Task.Abort, and QUERY TASK a look into its own table. Each of these functions
// returns a channel that is closed when the tasks which it has aborted have ended, each
// in Execute or Abandon: only then has the function been performed.

// Abort aborts a task (ABORT TASK, SAM-4 7.2). One that is being executed ends soon, but
// what it has done to the medium remains. It may be called by any goroutine, between
// Begin and the end of the task.
func (t *Task) Abort() { t.aborted.CompareAndSwap(notAborted, abortedByOwn) }

// AbortTaskSet aborts all tasks of the nexus on a unit (ABORT TASK SET, SAM-4 7.3, and
// CLEAR TASK SET, 7.5, which is the same since each nexus has a task set of its own).
// ok is false if the nexus has no such unit.
func (n *Nexus) AbortTaskSet(lun LUN) (done <-chan struct{}, ok bool) {
	l := n.find(lun)
	if l == nil {
		return nil, false
	}
	l.unit.lock()
	defer l.unit.unlock()
	return l.unit.state.abort(func(o *link) bool { return o == l }, l), true
}

// ResetUnit resets a unit (LOGICAL UNIT RESET, SAM-4 7.7 and 6.3.3): the tasks of all
// nexuses are aborted, mode pages take their saved values, reservations by RESERVE and
// preventions of removal end, and all learn of it by a unit attention condition.
// Persistent reservations stay.
func (n *Nexus) ResetUnit(lun LUN) (done <-chan struct{}, ok bool) {
	l := n.find(lun)
	if l == nil {
		return nil, false
	}
	d := newDrain(nil)
	l.unit.reset(d, l)
	d.release()
	return d.done, true
}

// ResetTarget resets all units of the target, whether or not the nexus may use them
// (TARGET RESET, which SAM-4 no longer has; RFC 7143 11.5.1). A cold reset is this and
// the end of all sessions, which is the transport's.
func (n *Nexus) ResetTarget() (done <-chan struct{}) {
	d := newDrain(nil)
	for lun, m := range *n.target.luns.Load() {
		m.unit.reset(d, n.links[lun])
	}
	d.release()
	return d.done
}

// reset does a logical unit reset on behalf of the link by, or of none. d then waits for
// the tasks that were aborted.
func (u *Unit) reset(d *drain, by *link) {
	u.lock()
	defer u.unlock()
	s := &u.state
	s.abortFor(d, func(*link) bool { return true }, by)
	s.reservations.reset()
	s.pages = s.savedPages
	for _, l := range s.links {
		l.prevents = false
		l.establish(CodeDeviceReset)
	}
}

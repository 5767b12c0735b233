package iscsi

import (
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// Task management functions and their answers (RFC 7143, 11.5.1 and 11.6.1; RFC 7144,
// 4 for the queries).
const (
	tmfAbortTask    = 1
	tmfAbortTaskSet = 2
	tmfClearACA     = 3
	tmfClearTaskSet = 4
	tmfUnitReset    = 5
	tmfWarmReset    = 6
	tmfColdReset    = 7
	tmfReassign     = 8
	tmfQueryTask    = 9
	tmfQueryTaskSet = 10
	tmfNexusReset   = 11
	tmfQueryAsync   = 12

	tmfComplete    = 0
	tmfNoTask      = 1
	tmfNoLUN       = 2
	tmfNoReassign  = 4
	tmfUnsupported = 5
	tmfForbidden   = 6
	tmfSucceeded   = 7
	tmfRejected    = 255
)

// A function is a task management function that waits for tasks to end.
type function struct {
	itt    uint32
	task   *task // of ABORT TASK, with its number
	number uint64
	others <-chan struct{} // closed when tasks of others have ended, too
	answer byte
	ended  bool
}

// taskManagement does a Task Management Function Request (RFC 7143, 11.5).
func (s *session) taskManagement(h *header) {
	if len(s.functions) >= s.limits.functions {
		s.reject(rejectImmediate, h)
		return
	}
	s.counters.functions.Add(1)
	lun := scsi.LUN(h.lun())
	switch h.function() {
	case tmfAbortTask:
		s.abortTask(h)
	case tmfAbortTaskSet, tmfClearTaskSet:
		done, ok := s.nexus.AbortTaskSet(lun)
		s.abortUnit(h, done, ok)
	case tmfUnitReset:
		done, ok := s.nexus.ResetUnit(lun)
		s.abortUnit(h, done, ok)
	case tmfWarmReset, tmfColdReset:
		done := s.nexus.ResetTarget()
		s.reset = h.function() == tmfColdReset
		s.abortUnits(h, done, func(*task) bool { return true })
	case tmfReassign:
		s.answerFunction(h.itt(), tmfNoReassign)
	case tmfQueryTask:
		s.queryTask(h)
	case tmfQueryTaskSet:
		answer := byte(tmfComplete)
		for _, t := range s.tasks {
			if t.lun == h.lun() {
				answer = tmfSucceeded
			}
		}
		s.answerFunction(h.itt(), answer)
	case tmfClearACA, tmfNexusReset, tmfQueryAsync:
		s.answerFunction(h.itt(), tmfUnsupported)
	default:
		s.answerFunction(h.itt(), tmfRejected)
	}
}

func (s *session) answerFunction(itt uint32, answer byte) {
	h := newHeader(opTaskResponse, flagFinal, itt)
	h[2] = answer
	s.send(h, nil, nil)
}

func (s *session) queryTask(h *header) {
	answer := byte(tmfComplete)
	if t := s.tasks[h.referencedTag()]; t != nil && t.lun == h.lun() {
		answer = tmfSucceeded
	}
	s.answerFunction(h.itt(), answer)
}

// abortTask does ABORT TASK. A task that has not come yet has come by this (RFC 7143,
// 11.5.5).
func (s *session) abortTask(h *header) {
	t := s.tasks[h.referencedTag()]
	if t == nil || t.lun != h.lun() {
		n := h.refCmdSN()
		switch p, ok := s.held[n]; {
		case ok && p.header.itt() == h.referencedTag(), !ok && !before(n, s.expCmdSN) && !before(s.maxCmdSN(), n) && n != h.cmdSN():
			p = heldPDU{}
			p.header[0] = opPlug
			s.held[n] = p
			s.answerFunction(h.itt(), tmfComplete)
			s.resume()
		default:
			s.answerFunction(h.itt(), tmfNoTask)
		}
		return
	}
	f := &function{itt: h.itt(), task: t, number: t.number}
	s.functions = append(s.functions, f)
	t.scsi.Abort()
	s.abort(t)
	s.settleFunctions()
}

// abort ends t without a response, now or when its execution ends.
func (s *session) abort(t *task) {
	t.aborted = true
	if t.state != taskExecutes {
		s.finish(t)
	}
}

// abortUnit ends the tasks of the LUN of h, and answers when those have ended that are
// being executed.
func (s *session) abortUnit(h *header, done <-chan struct{}, ok bool) {
	if !ok {
		s.answerFunction(h.itt(), tmfNoLUN)
		return
	}
	lun := h.lun()
	s.abortUnits(h, done, func(t *task) bool { return t.lun == lun })
}

func (s *session) abortUnits(h *header, done <-chan struct{}, which func(*task) bool) {
	f := &function{itt: h.itt(), others: done}
	s.functions = append(s.functions, f)
	s.begins = append(s.begins, f)
	s.abortEach(which)
}

func (s *session) abortAll() { s.abortEach(func(*task) bool { return true }) }

func (s *session) abortEach(which func(*task) bool) {
	var all []*task
	for _, t := range s.tasks {
		if which(t) {
			all = append(all, t)
			t.aborted = true
			t.scsi.Abort()
		}
	}
	for _, t := range all {
		if s.tasks[t.itt] == t && t.state != taskExecutes {
			s.finish(t)
		}
	}
}

// othersEnded says that the tasks have ended which f has waited for.
func (s *session) othersEnded(f *function) {
	f.ended = true
	s.settleFunctions()
}

// settleFunctions answers the functions that are done.
func (s *session) settleFunctions() {
	for i := 0; i < len(s.functions); {
		f := s.functions[i]
		done := f.ended
		if f.task != nil {
			done = s.tasks[f.task.itt] != f.task || f.task.number != f.number
		}
		if !done {
			i++
			continue
		}
		s.functions = append(s.functions[:i], s.functions[i+1:]...)
		s.answerFunction(f.itt, f.answer)
		if s.reset {
			s.ending = true
		}
	}
}

// sweep ends the tasks that others have aborted and that are not being executed.
func (s *session) sweep() {
	var all []*task
	for _, t := range s.tasks {
		if aborted, _ := t.scsi.Aborted(); aborted && t.state != taskExecutes {
			all = append(all, t)
		}
	}
	for _, t := range all {
		if s.tasks[t.itt] == t {
			s.finish(t)
		}
	}
}

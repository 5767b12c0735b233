package iscsi

import (
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// finish ends a task: it has been executed, or never will be.
func (s *session) finish(t *task) {
	aborted, answer := t.scsi.Aborted()
	if t.state != taskExecutes {
		t.scsi.Abandon()
	}
	if t.waitsForMemory {
		s.unstarve(t)
	}
	if t.waitsForTasks {
		t.waitsForTasks = false
		s.blocked--
	}
	delete(s.tasks, t.itt)
	if t.immediate {
		s.immediates--
	} else {
		s.active--
	}
	if t.attribute > attrSimple {
		s.ordered--
	}
	executed := t.state == taskExecutes
	t.state = taskResponded
	switch {
	case t.aborted || aborted && !answer:
		s.counters.aborted.Add(1)
		s.recycle(t)
	case t.failed && !executed:
		s.respond(t, scsi.CheckCondition, t.failure[:t.failureLength], 0)
	default:
		s.respond(t, t.scsi.Status, t.scsi.Sense(), t.scsi.Transferred)
	}
	s.afterTask()
}

// afterTask lets those go on that have waited for the task which has ended.
func (s *session) afterTask() {
	s.settleFunctions()
	for again := s.blocked > 0; again; {
		again = false
		var next *task
		for _, t := range s.tasks {
			if t.waitsForTasks && (next == nil || t.number < next.number) && (t.aborted || !s.mustWait(t)) {
				next = t
			}
		}
		if next != nil {
			next.waitsForTasks = false
			s.blocked--
			s.enable(next)
			again = true
		}
	}
}

// respond sends the data-in of a task and its status.
func (s *session) respond(t *task, status scsi.Status, sense []byte, transferred int) {
	if status != scsi.Good {
		s.counters.failed.Add(1)
	}
	expected := t.inSize
	if t.outSize > 0 || t.scsi.DataOut > 0 {
		expected = t.outSize
	}
	var flags byte
	residual, over := scsi.Residual(expected, transferred)
	switch {
	case residual == 0:
	case over:
		flags = flagOverflow
	default:
		flags = flagUnderflow
	}
	n := min(transferred, len(t.in))
	if n > 0 {
		s.counters.bytesRead.Add(uint64(n))
		if s.dataIn(t, t.in[:n], status, len(sense) == 0, flags, uint32(residual)) {
			return
		}
	}
	h := newHeader(opResponse, flagFinal|flags, t.itt)
	h.setResponse(0, byte(status))
	h.setDataSN(t.dataSN + t.r2tSN) // ExpDataSN
	h.setResidual(uint32(residual))
	var data []byte
	if len(sense) > 0 {
		data = append(t.segment[:0], byte(len(sense)>>8), byte(len(sense)))
		data = append(data, sense...)
	}
	s.send(h, data, t)
}

// dataIn sends data-in, in PDUs that the initiator takes and sequences of bursts. The
// last one has the status if there is no sense (RFC 7143, 11.7.3); done says that.
func (s *session) dataIn(t *task, data []byte, status scsi.Status, noSense bool, flags byte, residual uint32) (done bool) {
	burst := 0
	for at := 0; at < len(data); {
		n := min(len(data)-at, s.maxSend, s.maxBurst-burst)
		h := newHeader(opDataIn, 0, t.itt)
		h.setTTT(reservedTag)
		h.setDataSN(t.dataSN)
		h.setBufferOffset(uint32(at))
		t.dataSN++
		burst += n
		last := at+n == len(data)
		if last || burst == s.maxBurst {
			h[1] |= flagFinal
			burst = 0
		}
		if last && noSense && status == scsi.Good {
			h[1] |= flagStatus | flags
			h.setResponse(0, byte(status))
			h.setResidual(residual)
			s.send(h, data[at:at+n], t)
			return true
		}
		s.queue(h, data[at:at+n], nil)
		at += n
	}
	return false
}

package iscsi

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A task is a SCSI command on its way: SCSI Command, the data that go out, execution,
// the data that come in, and the response.
type task struct {
	scsi      scsi.Task
	itt       uint32
	cmdSN     uint32
	lun       uint64
	number    uint64 // in the order of Begin
	attribute byte
	immediate bool
	outSize   int // data that the initiator would send, by its command
	inSize    int // and that it takes

	out, in        []byte
	outBuf, inBuf  *buffers.Buffer
	received       int // data-out that has come without gap
	solicited      int // data-out that was asked for, or came unasked
	unsolicited    bool
	unsolicitedSN  uint32
	r2ts           []r2t // outstanding
	r2tSN          uint32
	dataSN         uint32
	state          taskState
	failed         bool // before or while data came; the status is in failure
	failure        [32]byte
	failureLength  int
	aborted        bool
	segment        [64]byte // of the response, for sense
	waitsForMemory bool
	waitsForTasks  bool
	late           bool // it ended while its buffer was read into
}

type taskState byte

const (
	taskCollects  taskState = iota // data-out
	taskWaits                      // for memory, or for tasks before it
	taskExecutes                   // belongs to whoever executes it
	taskResponded                  // until the response is written
)

// An r2t is data-out that was asked for (RFC 7143, 11.8).
type r2t struct {
	ttt     uint32
	at, end int // where the next data lie, and end
	dataSN  uint32
}

// Task attributes (RFC 7143, 11.3.1).
const (
	attrUntagged = 0
	attrSimple   = 1
	attrOrdered  = 2
	attrHead     = 3
	attrACA      = 4
)

// What iSCSI itself says with sense data (RFC 7143, 11.4.7.2).
const (
	codeUnexpectedData scsi.Code = 0x0c0c
	codeDataAmount     scsi.Code = 0x0c0d
	codeProtocolCRC    scsi.Code = 0x4705
)

// command begins a task (RFC 7143, 11.3).
func (s *session) command(h *header, additional, data []byte) {
	if s.tasks[h.itt()] != nil || h.itt() == reservedTag {
		s.reject(rejectProtocol, h)
		return
	}
	if h.immediate() && s.immediates >= s.limits.immediates {
		s.reject(rejectImmediate, h)
		return
	}
	cdb, bidi, err := wholeCDB(h, additional)
	if err != nil {
		s.reject(rejectField, h)
		return
	}
	t := s.newTask(h)
	s.counters.commands.Add(1)
	flags := h.flags()
	if flags&flagWrite != 0 {
		t.outSize = int(h.expectedLength())
	}
	if flags&flagRead != 0 {
		if t.inSize = int(h.expectedLength()); flags&flagWrite != 0 {
			t.inSize = int(bidi)
		}
	}
	t.scsi.ExpectedOut = t.outSize
	s.nexus.Begin(&t.scsi, scsi.LUN(t.lun), cdb)
	if t.attribute > attrHead && !t.scsi.Done() {
		t.fail(scsi.Sense{Key: scsi.IllegalRequest, Code: scsi.CodeInvalidField})
	}
	t.unsolicited = flags&flagWrite != 0 && flags&flagFinal == 0
	s.immediateDataOf(t, data)
	s.progress(t)
}

// wholeCDB puts a CDB together that has more than 16 bytes, and finds the length of
// what a bidirectional command reads.
func wholeCDB(h *header, additional []byte) (cdb []byte, bidi uint32, err error) {
	cdb = h.cdb()
	for rest := additional; len(rest) > 0; {
		var a ahs
		if a, rest, err = parseAHS(rest); err != nil {
			return nil, 0, err
		}
		switch {
		case a.kind == ahsCDB:
			cdb = append(append([]byte(nil), cdb...), a.data[1:]...)
		case a.kind == ahsBidi && len(a.data) == 5:
			bidi = binary.BigEndian.Uint32(a.data[1:])
		default:
			return nil, 0, formatErrorf("an additional header segment of type %d", a.kind)
		}
	}
	return cdb, bidi, nil
}

// newTask takes a task for the command of h.
func (s *session) newTask(h *header) *task {
	var t *task
	if n := len(s.spare) - 1; n >= 0 {
		t, s.spare = s.spare[n], s.spare[:n]
	} else {
		t = &task{}
	}
	s.begun++
	t.itt, t.cmdSN, t.lun, t.number = h.itt(), h.cmdSN(), h.lun(), s.begun
	t.attribute, t.immediate = h.attribute(), h.immediate()
	s.tasks[t.itt] = t
	if t.immediate {
		s.immediates++
	} else {
		s.active++
	}
	if t.attribute > attrSimple {
		s.ordered++
	}
	return t
}

// clear makes t as good as new, but keeps what it has allocated.
func (t *task) clear() {
	t.outSize, t.inSize, t.out, t.in, t.outBuf, t.inBuf = 0, 0, nil, nil, nil, nil
	t.received, t.solicited, t.unsolicited, t.unsolicitedSN = 0, 0, false, 0
	t.r2ts, t.r2tSN, t.dataSN = t.r2ts[:0], 0, 0
	t.state, t.failed, t.failureLength, t.aborted = taskCollects, false, 0, false
	t.waitsForMemory, t.waitsForTasks, t.late = false, false, false
}

// fail makes t end with this sense. Its data, where more is to come, are dropped.
func (t *task) fail(sense scsi.Sense) {
	if !t.failed {
		t.failed = true
		t.failureLength = len(sense.Append(t.failure[:0], false))
	}
}

// wanted is how much data-out the command takes.
func (t *task) wanted() int {
	if t.scsi.Done() || t.failed || t.aborted {
		return 0
	}
	return min(t.outSize, t.scsi.DataOut)
}

// immediateDataOf takes the data in the PDU of the command, and gets memory for the
// rest if that is there.
func (s *session) immediateDataOf(t *task, data []byte) {
	if len(data) > 0 && (!s.immediateData || t.outSize == 0 || len(data) > min(s.firstBurst, t.outSize)) ||
		t.unsolicited && s.initialR2T {
		t.fail(scsi.Sense{Key: scsi.AbortedCommand, Code: codeUnexpectedData})
	}
	if n := t.wanted(); n > 0 {
		if n > s.firstBurst && s.memory > 0 && s.memory+buffers.Size(n) > s.limits.memory {
			t.waitsForMemory = true
			s.starved = append(s.starved, t)
			s.counters.waits.Add(1)
			n = min(n, s.firstBurst)
			if len(data) == 0 && !t.unsolicited {
				n = 0
			}
		}
		s.allocateOut(t, n)
	}
	copy(t.out, data)
	s.counters.bytesWritten.Add(uint64(len(data)))
	t.received, t.solicited = len(data), len(data)
}

// allocateOut gives t a buffer of n bytes for data-out, with what has come.
func (s *session) allocateOut(t *task, n int) {
	if n == 0 {
		return
	}
	old := t.outBuf
	t.outBuf = s.buffers.Get(n)
	s.memory += buffers.Size(n)
	if old != nil {
		copy(t.outBuf.Bytes, t.out)
		s.memory -= len(old.Bytes)
		s.buffers.Put(old)
	}
	t.out = t.outBuf.Bytes[:n]
}

// takes says whether the Data-Out of h continues what t waits for, and nothing else.
func (t *task) takes(s *session, h *header) bool {
	if t.state != taskCollects || t.failed || t.aborted || h.lun() != t.lun && h.ttt() != reservedTag {
		return false
	}
	at, n := int(h.bufferOffset()), h.dataLength()
	if h.ttt() == reservedTag {
		return t.unsolicited && h.dataSN() == t.unsolicitedSN && at == t.received &&
			at+n <= min(s.firstBurst, t.outSize)
	}
	for i := range t.r2ts {
		if r := &t.r2ts[i]; r.ttt == h.ttt() {
			return h.dataSN() == r.dataSN && at == r.at && at+n <= r.end
		}
	}
	return false
}

// dataOut takes data of a task (RFC 7143, 11.7). A sequence that is broken makes the
// task fail when it has ended: at level 0 nothing is asked for again (7.8).
func (s *session) dataOut(h *header, data []byte, bad bool) error {
	t := s.tasks[h.itt()]
	if p := s.placing; p != nil {
		s.placing = nil
		if p.late {
			s.recycle(p)
		}
	}
	if bad {
		s.counters.dataDigests.Add(1)
		s.reject(rejectDigest, h)
	}
	if t == nil || t.state != taskCollects {
		s.counters.strayData.Add(1) // of a task that was aborted, most likely
		return nil
	}
	if bad || !t.failed && !t.takes(s, h) {
		if !bad {
			s.counters.brokenSequences.Add(1)
		}
		t.fail(scsi.Sense{Key: scsi.AbortedCommand, Code: codeProtocolCRC})
	}
	n := len(data)
	s.counters.bytesWritten.Add(uint64(n))
	if !t.failed {
		if at := int(h.bufferOffset()); at < len(t.out) && n > 0 && &t.out[at] != &data[0] {
			copy(t.out[at:], data)
		}
		t.received = max(t.received, int(h.bufferOffset())+n)
	}
	if h.ttt() == reservedTag {
		t.unsolicitedSN++
		t.solicited = t.received
		t.unsolicited = t.unsolicited && !h.final()
	} else {
		t.solicitedData(h, n)
	}
	s.progress(t)
	return nil
}

// solicitedData notes data of an R2T, and its end.
func (t *task) solicitedData(h *header, n int) {
	for i := range t.r2ts {
		r := &t.r2ts[i]
		if r.ttt != h.ttt() {
			continue
		}
		r.at += n
		r.dataSN++
		switch {
		case h.final():
			if r.at < r.end && !t.failed {
				t.fail(scsi.Sense{Key: scsi.AbortedCommand, Code: codeDataAmount})
			}
			t.r2ts = append(t.r2ts[:i], t.r2ts[i+1:]...)
		case r.at >= r.end && !t.failed: // F is missing
			t.fail(scsi.Sense{Key: scsi.AbortedCommand, Code: codeProtocolCRC})
			t.r2ts = append(t.r2ts[:i], t.r2ts[i+1:]...)
		}
		return
	}
}

// progress moves t on: asks for data, or has it executed when all is there.
func (s *session) progress(t *task) {
	if t.state != taskCollects || t.unsolicited {
		return
	}
	want := t.wanted()
	if t.waitsForMemory {
		if want > 0 {
			return
		}
		s.unstarve(t)
	}
	for t.solicited < want && len(t.r2ts) < s.maxR2Ts {
		s.solicit(t, min(want-t.solicited, s.maxBurst))
	}
	if len(t.r2ts) > 0 || t.received < want {
		return
	}
	s.enable(t)
}

// solicit sends an R2T (RFC 7143, 11.8).
func (s *session) solicit(t *task, n int) {
	r := r2t{ttt: s.newTTT(), at: t.solicited, end: t.solicited + n}
	t.r2ts = append(t.r2ts, r)
	t.solicited += n
	h := newHeader(opR2T, flagFinal, t.itt)
	h.setLUN(t.lun)
	h.setTTT(r.ttt)
	h.setDataSN(t.r2tSN)
	h.setBufferOffset(uint32(r.at))
	h.setDesiredLength(uint32(n))
	t.r2tSN++
	s.counters.r2ts.Add(1)
	s.tell(h)
}

// enable gives a task whose data are there to be executed: after those that it may not
// overtake, and with memory for its data-in.
func (s *session) enable(t *task) {
	if t.scsi.Done() || t.failed || t.aborted {
		s.finish(t)
		return
	}
	t.state = taskWaits
	if t.waitsForTasks = s.ordered > 0 && s.mustWait(t); t.waitsForTasks {
		s.blocked++
		return
	}
	if n := min(t.inSize, t.scsi.DataIn); n > 0 {
		if s.memory > 0 && s.memory+buffers.Size(n) > s.limits.memory {
			t.waitsForMemory = true
			s.starved = append(s.starved, t)
			s.counters.waits.Add(1)
			return
		}
		s.allocateIn(t, n)
	}
	s.execute(t)
}

func (s *session) allocateIn(t *task, n int) {
	t.inBuf = s.buffers.Get(n)
	t.in = t.inBuf.Bytes[:n]
	s.memory += buffers.Size(n)
}

func (s *session) execute(t *task) {
	t.state = taskExecutes
	s.ready = append(s.ready, t)
}

// mustWait says whether a task of the same unit is before t that t may not overtake
// (SAM-4, 8.6).
func (s *session) mustWait(t *task) bool {
	if t.attribute == attrHead {
		return false
	}
	for _, o := range s.tasks {
		if o.lun == t.lun && o.number < t.number && o.state != taskResponded &&
			(t.attribute == attrOrdered || o.attribute > attrSimple) {
			return true
		}
	}
	return false
}

// feed gives memory that has become free to those that wait for it, in their order.
func (s *session) feed() {
	for len(s.starved) > 0 {
		t := s.starved[0]
		n := t.wanted()
		if t.state == taskWaits {
			n = min(t.inSize, t.scsi.DataIn)
		}
		if s.memory > 0 && s.memory+buffers.Size(n) > s.limits.memory && !t.aborted {
			return
		}
		s.unstarve(t)
		switch {
		case t.state == taskCollects:
			s.allocateOut(t, n)
			s.progress(t)
		case t.aborted:
			s.finish(t)
		default:
			s.allocateIn(t, n)
			s.execute(t)
		}
	}
}

// unstarve takes t off those that wait for memory.
func (s *session) unstarve(t *task) {
	t.waitsForMemory = false
	for i, o := range s.starved {
		if o == t {
			s.starved = append(s.starved[:i], s.starved[i+1:]...)
			return
		}
	}
}

// recycle takes back a task whose response has been written.
func (s *session) recycle(t *task) {
	if s.placing == t {
		t.late = true
		return
	}
	for _, b := range []*buffers.Buffer{t.outBuf, t.inBuf} {
		if b != nil {
			s.memory -= len(b.Bytes)
			s.buffers.Put(b)
		}
	}
	t.clear()
	s.spare = append(s.spare, t)
	s.feed()
}

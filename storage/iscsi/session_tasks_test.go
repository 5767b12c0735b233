package iscsi

import (
	"bytes"
	"slices"
	"testing"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// tmf gives a task management function.
func (b *bench) tmf(function byte, itt, ref, refCmdSN uint32, lun uint64) {
	b.t.Helper()
	h := b.request(opTask, flagFinal|function, itt, true)
	h.setLUN(lun)
	h.setReferencedTag(ref)
	h.setRefCmdSN(refCmdSN)
	b.give(h, nil)
	for len(b.s.begins) > 0 {
		f := b.s.begins[0]
		b.s.begins = b.s.begins[1:]
		select {
		case <-f.others:
			b.s.othersEnded(f)
		default:
			b.t.Log("waits for tasks")
			b.s.begins = append(b.s.begins, f)
			return
		}
	}
	b.take()
}

func (b *bench) wantFunction(itt uint32, answer byte) {
	b.t.Helper()
	o := b.want(opTaskResponse)
	if o.header.itt() != itt || o.header.response() != answer {
		b.t.Fatalf("function %d is answered by %d, want %d %d", o.header.itt(), o.header.response(), itt, answer)
	}
}

// 11.5: functions, with a task that collects data, one that waits and one that is
// executed.
func TestTaskManagement(t *testing.T) {
	const none = uint64(9 << 48)
	for _, c := range []struct {
		name    string
		f       byte
		ref     uint32
		sn      int // from the first CmdSN
		lun     uint64
		answer  byte
		aborts  []uint32
		instant bool
	}{
		{"ABORT TASK of one that collects data", tmfAbortTask, 10, 0, lun1, tmfComplete, []uint32{10}, true},
		{"ABORT TASK of one that is executed", tmfAbortTask, 11, 1, lun1, tmfComplete, []uint32{11}, false},
		{"ABORT TASK of none", tmfAbortTask, 99, -5, lun1, tmfNoTask, nil, true},
		{"ABORT TASK of another LUN", tmfAbortTask, 10, -5, none, tmfNoTask, nil, true},
		{"ABORT TASK SET", tmfAbortTaskSet, 0, 0, lun1, tmfComplete, []uint32{10, 11, 12}, false},
		{"ABORT TASK SET of no LUN", tmfAbortTaskSet, 0, 0, none, tmfNoLUN, nil, true},
		{"CLEAR TASK SET", tmfClearTaskSet, 0, 0, lun1, tmfComplete, []uint32{10, 11, 12}, false},
		{"LOGICAL UNIT RESET", tmfUnitReset, 0, 0, lun1, tmfComplete, []uint32{10, 11, 12}, false},
		{"LOGICAL UNIT RESET of no LUN", tmfUnitReset, 0, 0, none, tmfNoLUN, nil, true},
		{"TARGET WARM RESET", tmfWarmReset, 0, 0, 0, tmfComplete, []uint32{10, 11, 12}, false},
		{"CLEAR ACA", tmfClearACA, 0, 0, lun1, tmfUnsupported, nil, true},
		{"TASK REASSIGN", tmfReassign, 10, 0, lun1, tmfNoReassign, nil, true},
		{"QUERY TASK", tmfQueryTask, 11, 0, lun1, tmfSucceeded, nil, true},
		{"QUERY TASK of none", tmfQueryTask, 99, 0, lun1, tmfComplete, nil, true},
		{"QUERY TASK SET", tmfQueryTaskSet, 0, 0, lun1, tmfSucceeded, nil, true},
		{"an unknown function", 77, 0, 0, lun1, tmfRejected, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, nil)
			b.hold = true
			first := b.cmdSN
			b.command(10, write10(0, 256), -131072, nil) // collects
			ttt := b.want(opR2T).header.ttt()
			b.command(11, read10(0, 1), 512, nil) // is executed
			b.command(12, write10(8, 1), -512, pattern(512))
			b.tmf(c.f, 50, c.ref, first+uint32(c.sn), c.lun)
			if c.instant {
				b.wantFunction(50, c.answer)
			}
			b.wantNothing()
			b.hold = false
			b.run()
			for len(b.s.begins) > 0 {
				<-b.s.begins[0].others
				b.s.othersEnded(b.s.begins[0])
				b.s.begins = b.s.begins[1:]
				b.take()
			}
			if !slices.Contains(c.aborts, 10) {
				b.dataOut(10, ttt, 0, 0, pattern(131072), true)
			} else {
				b.dataOut(10, ttt, 0, 0, pattern(131072), true) // still on its way
			}
			var answered []uint32
			for _, o := range b.out {
				switch o.header.opcode() {
				case opTaskResponse:
					if o.header.response() != c.answer {
						t.Errorf("answer %d, want %d", o.header.response(), c.answer)
					}
				default:
					answered = append(answered, o.header.itt())
				}
			}
			slices.Sort(answered)
			var want []uint32
			for _, itt := range []uint32{10, 11, 12} {
				if !slices.Contains(c.aborts, itt) {
					want = append(want, itt)
				}
			}
			if !slices.Equal(answered, want) {
				t.Errorf("%v are answered, want %v", answered, want)
			}
			b.wantEmpty()
		})
	}
}

// 11.5.5: ABORT TASK of a command that has not come takes its place.
func TestAbortBeforeCommand(t *testing.T) {
	b := newBench(t, nil)
	missing := b.cmdSN
	b.cmdSN++
	b.command(11, []byte{0}, 0, nil) // waits for the one before it
	b.wantNothing()
	b.tmf(tmfAbortTask, 50, 10, missing, lun1)
	b.wantFunction(50, tmfComplete)
	b.wantStatus(11, scsi.Good)
	b.wantEmpty()
}

// What another nexus aborts ends here too: CLEAR TASK SET has no effect on others (TST
// 001b), LOGICAL UNIT RESET has, and both the command and the next are told.
func TestAbortedByOthers(t *testing.T) {
	b := newBench(t, nil)
	b.command(10, write10(0, 256), -131072, nil)
	b.want(opR2T)
	other := b.target.Attach(scsi.NexusConfig{Initiator: scsi.InitiatorPort{Name: "iqn.other"}})
	done, _ := other.ResetUnit(lun1)
	select {
	case <-done:
		t.Fatal("the reset has ended before the tasks")
	default:
	}
	b.s.sweep()
	b.take()
	<-done
	b.wantStatus(10, scsi.TaskAborted) // TAS
	b.command(11, []byte{0}, 0, nil)
	b.wantSense(11, scsi.UnitAttention, scsi.CodeDeviceReset)
	b.wantEmpty()
}

// A task that ends while its buffer is being read into keeps the buffer until then.
func TestBufferOfAbortedTask(t *testing.T) {
	b := newBench(t, nil)
	b.command(10, write10(0, 256), -131072, nil)
	h := newHeader(opDataOut, flagFinal, 10)
	h.setLUN(lun1)
	h.setTTT(b.want(opR2T).header.ttt())
	h.setDataLength(131072)
	p := b.s.place(&h)
	if len(p) != 131072 {
		t.Fatalf("%d bytes of place", len(p))
	}
	b.s.abortAll()
	b.take()
	if b.s.memory == 0 {
		t.Error("the buffer is given back")
	}
	b.s.receive(&h, nil, p, false)
	b.wantEmpty()
}

func FuzzSession(f *testing.F) {
	h := newHeader(opCommand, flagFinal|flagWrite, 2)
	h.setCmdSN(101)
	h.setLUN(lun1)
	h.setWord(20, 1024)
	copy(h.cdb(), write10(0, 2))
	f.Add(appendPDU(nil, &h, pattern(512), digests{}))
	h = newHeader(opTask, flagFinal|tmfUnitReset, 3)
	h[0] |= 0x40
	h.setLUN(lun1)
	f.Add(appendPDU(nil, &h, nil, digests{}))
	h = newHeader(opText, flagFinal, 3)
	h.setCmdSN(101)
	h.setTTT(reservedTag)
	f.Add(appendPDU(nil, &h, []byte("SendTargets=All\x00"), digests{}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		b := newBench(t, nil)
		b.take()
		r := &reader{in: bytes.NewReader(stream), maxData: 1 << 16}
		for {
			var h header
			additional, err := r.header(&h)
			if err != nil {
				break
			}
			data := b.s.place(&h)
			if data == nil {
				data = make([]byte, h.dataLength())
			}
			if r.data(data) != nil {
				break
			}
			if b.s.receive(&h, additional, data, false) != nil || b.s.ending {
				break
			}
			b.take()
			for _, f := range b.s.begins {
				<-f.others
				b.s.othersEnded(f)
			}
			b.s.begins = nil
			b.take()
			if n := len(b.s.tasks); n > b.s.limits.window+b.s.limits.immediates {
				t.Fatalf("%d tasks", n)
			}
			if len(b.s.held) > b.s.limits.window {
				t.Fatalf("%d are held", len(b.s.held))
			}
		}
		b.s.placing = nil
		b.s.abortAll()
		b.take()
		if len(b.s.tasks) != 0 || b.s.active != 0 || b.s.immediates != 0 || b.s.memory != 0 {
			t.Fatalf("tasks %d, active %d, immediate %d, memory %d", len(b.s.tasks), b.s.active, b.s.immediates, b.s.memory)
		}
	})
}

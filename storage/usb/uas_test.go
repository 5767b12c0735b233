package usb

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// commandIU is a COMMAND IU with a SIMPLE task.
func commandIU(tag uint16, cdb []byte) []byte {
	p := make([]byte, commandIULength)
	p[0] = iuCommand
	binary.BigEndian.PutUint16(p[2:], tag)
	copy(p[16:], cdb)
	return p
}

func taskIU(tag uint16, function byte, managed uint16) []byte {
	p := make([]byte, taskIULength)
	p[0] = iuTask
	binary.BigEndian.PutUint16(p[2:], tag)
	p[4] = function
	binary.BigEndian.PutUint16(p[6:], managed)
	return p
}

// send sends an information unit to the device.
func (r *rig) send(p []byte) {
	r.Helper()
	r.want("information unit", r.out(endpointCommand, p), StatusOK, len(p))
}

// unit takes an information unit off the status pipe, and sees what it is.
func (r *rig) takeUnit(iu byte, tag uint16) []byte {
	r.Helper()
	t := &Transfer{Endpoint: endpointStatus, Length: 128}
	if r.f.config.Speed == SuperSpeed {
		t.Stream = tag
	}
	r.submit(t)
	if !r.done(t) || t.Status != StatusOK {
		r.Fatalf("no information unit: %v", t.Status)
	}
	if t.Data[0] != iu || binary.BigEndian.Uint16(t.Data[2:]) != tag {
		r.Fatalf("information unit % x, want one of kind %d, tag %d", t.Data, iu, tag)
	}
	return t.Data
}

func (r *rig) takeSense(tag uint16, s scsi.Status) {
	r.Helper()
	if p := r.takeUnit(iuSense, tag); scsi.Status(p[6]) != s {
		r.Fatalf("status %#x, want %v", p[6], s)
	}
}

// TestUASCommands has commands cross with and without streams, several at a time.
func TestUASCommands(t *testing.T) {
	for _, speed := range []Speed{HighSpeed, SuperSpeed} {
		t.Run(speed.String(), func(t *testing.T) {
			r := configured(t, Config{Speed: speed}, alternateUAS)
			stream := func(tag uint16) uint16 {
				if speed == SuperSpeed {
					return tag
				}
				return 0
			}
			texts := [3][]byte{}
			for i := range texts {
				texts[i] = bytes.Repeat([]byte{byte(i + 1)}, 2048)
				r.send(commandIU(uint16(i+1), write10(8*i, 4)))
			}
			order := []int{0, 1, 2}
			if speed == SuperSpeed {
				order = []int{2, 0, 1} // the host may take any
			}
			for _, i := range order {
				tag := uint16(i + 1)
				if speed != SuperSpeed {
					r.takeUnit(iuWriteReady, tag)
				}
				o := &Transfer{Endpoint: endpointDataOut, Stream: stream(tag), Length: 2048, Data: texts[i]}
				r.want("data", r.submit(o), StatusOK, 2048)
			}
			r.execute()
			for i := range texts {
				r.takeSense(uint16(i+1), scsi.Good)
			}
			for i := range texts {
				r.send(commandIU(uint16(i+1), read10(8*i, 4)))
			}
			r.execute()
			for _, i := range order {
				tag := uint16(i + 1)
				if speed != SuperSpeed {
					r.takeUnit(iuReadReady, tag)
				}
				got := r.want("data", r.submit(&Transfer{Endpoint: endpointDataIn, Stream: stream(tag), Length: 2048}), StatusOK, 2048)
				if !bytes.Equal(got, texts[i]) {
					t.Errorf("command %d: other data than were written", i)
				}
				r.takeSense(tag, scsi.Good)
			}
			r.send(commandIU(1, read10(1<<20, 1)))
			if p := r.takeUnit(iuSense, 1); scsi.Status(p[6]) != scsi.CheckCondition || int(binary.BigEndian.Uint16(p[14:])) != len(p)-16 {
				t.Errorf("sense % x", p)
			} else if s, ok := scsi.ParseSense(p[16:]); !ok || s.Code != scsi.CodeLBAOutOfRange {
				t.Errorf("%v", s)
			}
			r.idle()
		})
	}
}

// TestUASUnits answers what is no command, or cannot be one now.
func TestUASUnits(t *testing.T) {
	r := configured(t, Config{}, alternateUAS)
	respond := func(p []byte, tag uint16, code byte) {
		t.Helper()
		r.send(p)
		if got := r.takeUnit(iuResponse, tag); got[7] != code {
			t.Errorf("response %#x, want %#x", got[7], code)
		}
	}
	respond([]byte{9, 0, 0, 7}, 7, responseInvalidIU)
	respond([]byte{1}, 0, responseInvalidIU)
	respond(commandIU(0, testUnitReady), 0, responseInvalidIU)
	respond(commandIU(3, testUnitReady)[:31], 3, responseInvalidIU)
	long := append(commandIU(3, testUnitReady), 0, 0, 0, 0)
	respond(long, 3, responseInvalidIU)
	r.send(commandIU(1, write10(0, 1)))
	r.takeUnit(iuWriteReady, 1)
	respond(commandIU(1, testUnitReady), 1, responseOverlapped)
	respond(taskIU(1, queryTask, 1), 1, responseOverlapped)
	r.want("data", r.out(endpointDataOut, make([]byte, 512)), StatusOK, 512)
	r.execute()
	r.takeSense(1, scsi.Good)
	r.idle()
}

// TestUASTasks is task management, over a command that waits for the host and one that is
// being executed.
func TestUASTasks(t *testing.T) {
	for name, c := range map[string]struct {
		function byte
		managed  uint16
		left     int // of three commands
		code     byte
	}{
		"abort task": {abortTask, 1, 2, responseComplete}, "abort no task": {abortTask, 9, 3, responseComplete},
		"abort task set": {abortTaskSet, 0, 0, responseComplete}, "clear task set": {clearTaskSet, 0, 0, responseComplete},
		"unit reset": {logicalUnitReset, 0, 0, responseComplete}, "nexus reset": {nexusReset, 0, 0, responseComplete},
		"query task": {queryTask, 1, 3, responseSucceeded}, "query no task": {queryTask, 9, 3, responseComplete},
		"query task set": {queryTaskSet, 0, 3, responseSucceeded}, "unknown": {0x33, 0, 3, responseNotSupported},
	} {
		t.Run(name, func(t *testing.T) {
			r := configured(t, Config{Speed: SuperSpeed}, alternateUAS)
			r.send(commandIU(1, read10(0, 1)))
			executing := r.f.next()
			r.f.begun()
			r.send(commandIU(2, read10(0, 1)))
			r.send(commandIU(3, write10(0, 1)))
			r.send(taskIU(4, c.function, c.managed))
			waits := c.left < 3
			in := &Transfer{Endpoint: endpointStatus, Stream: 4, Length: 128}
			r.submit(in)
			if r.done(in) == waits {
				t.Fatalf("answered: %v", !waits)
			}
			r.f.ended(executing)
			if waits && !r.done(in) {
				t.Fatal("no answer when the command has ended")
			}
			if in.Data[0] != iuResponse || in.Data[7] != c.code {
				t.Errorf("answer % x", in.Data)
			}
			if len(r.f.active) != c.left {
				t.Errorf("%d commands left, want %d", len(r.f.active), c.left)
			}
			r.f.reset()
			r.idle()
		})
	}
	r := configured(t, Config{}, alternateUAS)
	p := taskIU(4, logicalUnitReset, 0)
	p[9] = 5
	r.send(p)
	if got := r.takeUnit(iuResponse, 4); got[7] != responseIncorrectLUN {
		t.Errorf("% x", got)
	}
}

// TestUASOrdered holds an ORDERED task until those before it have ended, and those after
// it until it has.
func TestUASOrdered(t *testing.T) {
	r := configured(t, Config{}, alternateUAS)
	ordered := commandIU(2, testUnitReady)
	ordered[4] = attributeOrdered
	r.send(commandIU(1, read10(0, 1)))
	second, third := r.out(endpointCommand, ordered), r.out(endpointCommand, commandIU(3, testUnitReady))
	r.execute()
	if r.done(second) || r.done(third) {
		t.Fatal("not held")
	}
	r.takeUnit(iuReadReady, 1)
	r.want("data", r.in(endpointDataIn, 512), StatusOK, 512)
	if r.done(third) {
		t.Fatal("the third is before the second")
	}
	r.takeSense(1, scsi.Good)
	r.takeSense(2, scsi.Good)
	r.takeSense(3, scsi.Good)
	r.want("second", second, StatusOK, commandIULength)
	r.want("third", third, StatusOK, commandIULength)
	r.idle()
}

// TestUASBounds sends more commands than the device takes at once.
func TestUASBounds(t *testing.T) {
	r := configured(t, Config{Speed: SuperSpeed}, alternateUAS)
	for tag := range uint16(100) {
		r.out(endpointCommand, commandIU(tag+1, write10(0, 1)))
	}
	if n := len(r.f.active); n != maxCommands {
		t.Errorf("%d commands", n)
	}
	r.takeSense(maxTasks+1, scsi.TaskSetFull)
	r.f.reset()
	for r.f.done.pop() != nil {
	}
	r.idle()
}

// TestMemory has commands wait for memory of which there is not enough.
func TestMemory(t *testing.T) {
	r := configured(t, Config{Speed: SuperSpeed, MaxMemory: 4096}, alternateUAS)
	for tag := range uint16(4) {
		r.send(commandIU(tag+1, read10(0, 4)))
	}
	for _, pair := range [][]uint16{{1, 2}, {3, 4}} {
		r.execute()
		if used := r.f.used.Load(); used != 4096 {
			t.Fatalf("%d bytes", used)
		}
		for _, tag := range pair {
			in := r.submit(&Transfer{Endpoint: endpointDataIn, Stream: tag, Length: 2048})
			r.want("data", in, StatusOK, 2048)
			r.takeSense(tag, scsi.Good)
		}
		r.f.advance() // as when the budget tells that there is room
	}
	r.idle()
}

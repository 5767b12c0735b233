package usb

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// Information units (UAS table 10).
const (
	iuCommand    = 0x01
	iuSense      = 0x03
	iuResponse   = 0x04
	iuTask       = 0x05
	iuReadReady  = 0x06
	iuWriteReady = 0x07
)

const (
	commandIULength = 32
	taskIULength    = 16
)

// Task management functions (UAS table 19).
const (
	abortTask        = 0x01
	abortTaskSet     = 0x02
	clearTaskSet     = 0x04
	logicalUnitReset = 0x08
	nexusReset       = 0x10
	queryTask        = 0x80
	queryTaskSet     = 0x81
)

// Response codes (UAS table 18).
const (
	responseComplete     = 0x00
	responseInvalidIU    = 0x02
	responseNotSupported = 0x04
	responseSucceeded    = 0x08
	responseIncorrectLUN = 0x09
	responseOverlapped   = 0x0a
)

const attributeOrdered = 2

// uas is USB Attached SCSI (INCITS 471-2010), a command at a time for each tag. At
// SuperSpeed each command has the streams of its tag; else READ READY and WRITE READY
// say whose data the data pipes carry.
type uas struct {
	f       *function
	dataIn  commandQueue // commands that have data, and none of the pipe yet
	dataOut commandQueue // commands that want data, likewise
	in, out *command     // those that have the data pipes; nil with streams
	replies commandQueue // commands that have an information unit to send
}

func (u *uas) streams() bool { return u.f.config.Speed == SuperSpeed }

// reset ends all commands.
func (u *uas) reset() {
	for i := len(u.f.active) - 1; i >= 0; i-- { // one that goes is replaced by the last
		u.f.abandon(u.f.active[i], nil)
	}
}

// leave takes a command out of where it waits for the host.
func (u *uas) leave(c *command) {
	u.dataIn.remove(c)
	u.dataOut.remove(c)
	u.replies.remove(c)
	if u.in == c {
		u.in = nil
	}
	if u.out == c {
		u.out = nil
	}
}

// advance makes some steps, and reports whether it has.
func (u *uas) advance() bool {
	went := u.takeUnits()
	went = u.sendData() || went
	went = u.receiveData() || went
	return u.sendUnits() || went
}

// takeUnits takes information units off the command pipe.
func (u *uas) takeUnits() (went bool) {
	e := u.f.endpoint(endpointCommand)
	for e.pending.first != nil && u.f.canTake() && !u.holdsBack(e.pending.first.Data) {
		t := u.f.pop(endpointCommand)
		t.Actual = len(t.Data)
		u.unit(t.Data)
		u.f.complete(t)
		went = true
	}
	return went
}

// holdsBack says whether a command must wait for those before it: it, or one of them, is
// ORDERED (SAM-4 8.6).
func (u *uas) holdsBack(p []byte) bool {
	if len(p) < commandIULength || p[0] != iuCommand {
		return false
	}
	ordered := p[4]&0x07 == attributeOrdered
	for _, c := range u.f.active {
		if c.answer == noAnswer && !c.left && (ordered || c.ordered) {
			return true
		}
	}
	return false
}

// unit takes an information unit.
func (u *uas) unit(p []byte) {
	c := u.f.takeCommand()
	if len(p) >= 4 {
		c.tag = uint32(binary.BigEndian.Uint16(p[2:]))
	}
	switch {
	case len(p) >= commandIULength && p[0] == iuCommand && c.tag != 0 && len(p) == commandIULength+int(p[6]&^3):
		u.command(c, p)
	case len(p) == taskIULength && p[0] == iuTask && c.tag != 0:
		u.function(c, p)
	default:
		u.respond(c, responseInvalidIU)
	}
}

// tagged is the command of a tag that is under way, but for one.
func (u *uas) tagged(tag uint32, but *command) *command {
	for _, c := range u.f.active {
		if c.tag == tag && c != but && !c.left {
			return c
		}
	}
	return nil
}

func (u *uas) command(c *command, p []byte) {
	if u.tagged(c.tag, c) != nil {
		u.respond(c, responseOverlapped)
		return
	}
	c.lun = scsi.ParseLUN([8]byte(p[8:16]))
	c.ordered = p[4]&0x07 == attributeOrdered
	if len(u.f.active) > maxTasks {
		c.status = scsi.TaskSetFull
		u.reply(c, iuSense)
		return
	}
	c.task.ExpectedOut = 0
	u.f.nexus.Begin(&c.task, c.lun, p[16:32])
	t := &c.task
	switch {
	case t.Done():
		u.executed(c)
	case t.DataIn > 0:
		u.f.want(c, t.DataIn)
	case t.DataOut > 0:
		u.f.want(c, t.DataOut)
	default:
		u.f.start(c)
	}
}

// executed goes on after a command has ended.
func (u *uas) executed(c *command) {
	t := &c.task
	c.status = t.Status
	if aborted, _ := t.Aborted(); aborted {
		c.status = scsi.TaskAborted
	}
	c.in = c.in[:min(t.Transferred, len(c.in))]
	if len(c.in) > 0 && (c.status == scsi.Good || c.status == scsi.CheckCondition) {
		c.phase = phaseDataIn
		u.dataIn.push(c)
		return
	}
	u.reply(c, iuSense)
}

// reply has a command send an information unit, and be done unless it is READ READY or
// WRITE READY.
func (u *uas) reply(c *command, iu byte) {
	if iu == iuSense || iu == iuResponse {
		c.phase = phaseStatus
	}
	c.iu = iu
	u.replies.push(c)
}

func (u *uas) respond(c *command, code int) {
	c.answer = code
	u.reply(c, iuResponse)
}

// sendUnits sends the information units for which the host has room.
func (u *uas) sendUnits() (went bool) {
	e := u.f.endpoint(endpointStatus)
	for c := u.replies.first; c != nil; {
		next := c.next
		if t := u.transfer(e, c); t != nil {
			u.sendUnit(c, t)
			went = true
		} else if !u.streams() {
			break
		}
		c = next
	}
	return went
}

// transfer takes the transfer that waits at an endpoint for a command, or returns nil.
func (u *uas) transfer(e *endpoint, c *command) *Transfer {
	if e.pending.first == nil {
		return nil
	}
	if !u.streams() {
		return u.f.pop(e.Address)
	}
	return u.f.take(e, func(t *Transfer) bool { return uint32(t.Stream) == c.tag })
}

func (u *uas) sendUnit(c *command, t *Transfer) {
	u.replies.remove(c)
	var p [16 + 32]byte
	n := 4
	p[0] = c.iu
	binary.BigEndian.PutUint16(p[2:], uint16(c.tag))
	switch c.iu {
	case iuSense:
		p[6] = byte(c.status)
		n = 16
		if c.status == scsi.CheckCondition {
			m := copy(p[16:], c.task.Sense())
			binary.BigEndian.PutUint16(p[14:], uint16(m))
			n += m
		}
	case iuResponse:
		p[7] = byte(c.answer)
		n = 8
	}
	t.reply(p[:n])
	u.f.complete(t)
	switch c.iu {
	case iuReadReady, iuWriteReady:
		c.ready = true
	default:
		u.f.drop(c)
	}
}

// sendData gives data to the host, for one command after the other without streams, for
// all that have data with them.
func (u *uas) sendData() (went bool) {
	e := u.f.endpoint(endpointDataIn)
	if !u.streams() {
		if u.in == nil && u.dataIn.first != nil {
			u.in = u.dataIn.pop()
			u.reply(u.in, iuReadReady)
			went = true
		}
		if c := u.in; c != nil && c.ready {
			if t := u.transfer(e, c); t != nil {
				u.send(c, t)
				went = true
			}
		}
		return went
	}
	for c := u.dataIn.first; c != nil; {
		next := c.next
		if t := u.transfer(e, c); t != nil {
			u.send(c, t)
			went = true
		}
		c = next
	}
	return went
}

func (u *uas) send(c *command, t *Transfer) {
	n := min(t.Length, len(c.in))
	t.Data, t.hold, t.Actual = c.in[:n], c.hold.acquire(), n
	c.in = c.in[n:]
	u.f.complete(t)
	if len(c.in) == 0 {
		u.leave(c)
		u.reply(c, iuSense)
	}
}

// receiveData takes data of the host's, likewise.
func (u *uas) receiveData() (went bool) {
	e := u.f.endpoint(endpointDataOut)
	if !u.streams() {
		if u.out == nil && u.dataOut.first != nil {
			u.out = u.dataOut.pop()
			u.reply(u.out, iuWriteReady)
			went = true
		}
		if c := u.out; c != nil && c.ready {
			if t := u.transfer(e, c); t != nil {
				u.receive(c, t)
				went = true
			}
		}
		return went
	}
	for c := u.dataOut.first; c != nil; {
		next := c.next
		if t := u.transfer(e, c); t != nil {
			u.receive(c, t)
			went = true
		}
		c = next
	}
	return went
}

// receive takes data. More than the command takes is dropped; a transfer that is not
// whole packets is the last.
func (u *uas) receive(c *command, t *Transfer) {
	c.receive(u.f, t)
	last := len(t.Data)%u.f.config.Speed.maxPacket() != 0 || len(t.Data) == 0
	t.Actual = len(t.Data)
	u.f.complete(t)
	if last || len(c.out) == c.task.DataOut {
		u.leave(c)
		u.f.start(c)
	}
}

// function does a function of task management. Its answer goes when the commands have
// ended that it aborts.
func (u *uas) function(c *command, p []byte) {
	lun, managed := scsi.ParseLUN([8]byte(p[8:16])), uint32(binary.BigEndian.Uint16(p[6:]))
	c.lun = lun
	if u.tagged(c.tag, c) != nil {
		u.respond(c, responseOverlapped)
		return
	}
	c.answer = responseComplete
	ofUnit := func(o *command) bool { return o.lun == lun }
	ofTask := func(o *command) bool { return o.lun == lun && o.tag == managed }
	ok := true
	switch p[4] {
	case abortTask:
		u.abort(c, ofTask)
	case abortTaskSet, clearTaskSet:
		if _, ok = u.f.nexus.AbortTaskSet(lun); ok {
			u.abort(c, ofUnit)
		}
	case logicalUnitReset:
		if _, ok = u.f.nexus.ResetUnit(lun); ok {
			u.abort(c, ofUnit)
		}
	case nexusReset:
		u.abort(c, func(*command) bool { return true })
	case queryTask:
		c.answer = u.query(ofTask)
	case queryTaskSet:
		c.answer = u.query(ofUnit)
	default:
		c.answer = responseNotSupported
	}
	if !ok {
		c.answer = responseIncorrectLUN
	}
	if c.aborts == 0 {
		u.reply(c, iuResponse)
	}
}

// abort ends the commands that of chooses on behalf of a function.
func (u *uas) abort(by *command, of func(*command) bool) {
	for i := len(u.f.active) - 1; i >= 0; i-- {
		c := u.f.active[i]
		if c.answer == noAnswer && !c.left && of(c) && !u.f.abandon(c, by) {
			by.aborts++
		}
	}
}

// aborted tells a function that a command has ended which it has aborted.
func (u *uas) aborted(by *command) {
	by.aborts--
	if by.aborts == 0 && !by.left {
		u.reply(by, iuResponse)
	}
}

func (u *uas) query(of func(*command) bool) int {
	for _, c := range u.f.active {
		if c.answer == noAnswer && !c.left && of(c) {
			return responseSucceeded
		}
	}
	return responseComplete
}

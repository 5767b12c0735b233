package usb

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// Command and status wrappers (BOT 5.1, 5.2).
const (
	cbwSignature = 0x43425355
	cswSignature = 0x53425355
	cbwLength    = 31
	cswLength    = 13
)

// bCSWStatus (BOT table 5.3).
const (
	cswPassed     = 0
	cswFailed     = 1
	cswPhaseError = 2
)

// A cbw is a command block wrapper.
type cbw struct {
	tag    uint32
	length int // dCBWDataTransferLength
	toHost bool
	lun    byte
	cdb    []byte
}

// parseCBW reads a command block wrapper. ok is false for one that is not valid and
// meaningful (BOT 6.2), but for the number of the unit.
func parseCBW(p []byte) (c cbw, ok bool) {
	if len(p) != cbwLength || binary.LittleEndian.Uint32(p) != cbwSignature {
		return c, false
	}
	c.tag = binary.LittleEndian.Uint32(p[4:])
	length := binary.LittleEndian.Uint32(p[8:])
	c.length = int(length)
	c.toHost = p[12]&0x80 != 0
	c.lun = p[13]
	n := int(p[14])
	if p[12]&0x7f != 0 || c.lun > 15 || n < 1 || n > 16 || int64(c.length) != int64(length) {
		return c, false
	}
	c.cdb = p[15 : 15+n]
	return c, true
}

// A botPhase is what Bulk-Only Transport waits for.
type botPhase uint8

const (
	botCommand botPhase = iota // a CBW
	botBusy                    // memory, or the end of the command
	botDataOut                 // data of the host's
	botDataIn                  // the host, to take data
	botStatus                  // the host, to take the CSW
	botInvalid                 // a reset recovery (BOT 5.3.4), since a CBW was not valid
)

// bot is Bulk-Only Transport, revision 1.0. The thirteen cases of its section 6.7, with
// what host (H) and device (D) expect, are answered so:
//
//	1 Hn=Dn, 6 Hi=Di, 12 Ho=Do    as the command ends
//	2 Hn<Di, 3 Hn<Do              phase error; nothing is done
//	4 Hi>Dn, 5 Hi>Di              zeroes follow what data there are, or a STALL does
//	                              (Config.Stall); the residue tells
//	7 Hi<Di                       as much as fits, then phase error
//	8 Hi<>Do                      as 4, then phase error; nothing is done
//	9 Ho>Dn, 11 Ho>Do             data are taken and dropped; the residue tells
//	10 Ho<>Di, 13 Ho<Do           data are taken and dropped, then phase error; nothing is done
type bot struct {
	f     *function
	phase botPhase
	c     *command // nil in botCommand and botInvalid

	cbw     cbw  // without cdb
	got     int  // bytes of the host's data so far
	zeroes  int  // that follow the data to the host
	short   bool // the data to the host end by a STALL
	status  byte
	residue int

	senses [16]heldSense
}

// A heldSense is what the next REQUEST SENSE of a unit tells: the transport has no way
// for sense data of its own.
type heldSense struct {
	is    bool
	sense scsi.Sense
}

// reset is the Bulk-Only Mass Storage Reset (BOT 3.1): the device is ready for a CBW.
// Endpoints stay halted that are.
func (b *bot) reset() {
	if b.c != nil {
		b.f.abandon(b.c, nil)
		b.c = nil
	}
	b.phase = botCommand
	b.senses = [16]heldSense{}
}

// advance makes a step, and reports whether it has.
func (b *bot) advance() bool {
	f := b.f
	switch b.phase {
	case botCommand:
		if !f.canTake() {
			return false
		}
		if t := f.pop(endpointDataOut); t != nil {
			b.command(t)
			return true
		}
	case botDataOut:
		if t := f.pop(endpointDataOut); t != nil {
			b.receive(t)
			return true
		}
	case botDataIn:
		if t := f.pop(endpointDataIn); t != nil {
			b.send(t)
			return true
		}
	case botStatus:
		if t := f.pop(endpointDataIn); t != nil {
			b.tellStatus(t)
			return true
		}
	}
	return false
}

// command takes a CBW.
func (b *bot) command(t *Transfer) {
	c, ok := parseCBW(t.Data)
	t.Actual = len(t.Data)
	if !ok || c.lun > b.f.config.maxLUN() {
		b.f.complete(t)
		b.phase = botInvalid
		b.f.halt(b.f.endpoint(endpointDataIn))
		b.f.halt(b.f.endpoint(endpointDataOut))
		return
	}
	b.cbw, b.got, b.zeroes, b.short, b.status, b.residue = c, 0, 0, false, cswPassed, c.length
	b.begin(c.cdb)
	b.cbw.cdb = nil // it is the transfer's
	b.f.complete(t)
}

// begin starts a command.
func (b *bot) begin(cdb []byte) {
	c := b.f.takeCommand()
	b.c, c.tag, c.lun, b.phase = c, b.cbw.tag, scsi.LUNOf(int(b.cbw.lun)), botBusy
	held := &b.senses[b.cbw.lun]
	if cdb[0] == 0x03 && len(cdb) >= 6 && held.is { // REQUEST SENSE
		b.tellSense(held, cdb)
		return
	}
	*held = heldSense{}
	c.task.ExpectedOut = 0
	if !b.cbw.toHost {
		c.task.ExpectedOut = b.cbw.length
	}
	b.f.nexus.Begin(&c.task, c.lun, cdb)
	t := &c.task
	switch {
	case t.Done():
		b.executed(c)
	case t.DataIn > 0 && (!b.cbw.toHost || b.cbw.length == 0), t.DataOut > 0 && (b.cbw.toHost || b.cbw.length < t.DataOut):
		t.Abandon()
		b.status = cswPhaseError
		b.data(nil)
	case t.DataIn > 0:
		b.f.want(c, min(t.DataIn, b.cbw.length))
	case t.DataOut > 0:
		b.f.want(c, t.DataOut)
	default:
		b.f.start(c)
	}
}

// tellSense answers REQUEST SENSE with the sense data of the command before it.
func (b *bot) tellSense(held *heldSense, cdb []byte) {
	c := b.c
	c.hold = newMemory(b.f.pool, 64, b.f.used)
	p := held.sense.Append(c.hold.bytes[:0], cdb[1]&0x01 != 0)
	*held = heldSense{}
	p = p[:min(len(p), int(cdb[4]))]
	if len(p) > 0 && (!b.cbw.toHost || b.cbw.length < len(p)) {
		b.status = cswPhaseError
		if !b.cbw.toHost {
			p = nil
		}
	}
	b.data(p[:min(len(p), b.cbw.length)])
}

// executed goes on after a command has ended.
func (b *bot) executed(c *command) {
	t := &c.task
	if aborted, _ := t.Aborted(); aborted {
		b.fail(scsi.Sense{Key: scsi.AbortedCommand})
	} else {
		switch t.Status {
		case scsi.Good, scsi.ConditionMet:
		case scsi.CheckCondition:
			b.fail(t.SenseError())
		default: // as RESERVATION CONFLICT, for which the transport has no word
			b.fail(scsi.Sense{Key: scsi.AbortedCommand})
		}
	}
	n := t.Transferred
	if b.cbw.toHost && n > b.cbw.length {
		b.status = cswPhaseError
	}
	if b.cbw.toHost || t.DataOut == 0 {
		b.data(c.in[:min(n, len(c.in))])
		return
	}
	b.residue -= min(n, len(c.out))
	b.data(nil)
}

func (b *bot) fail(s scsi.Sense) {
	b.status = cswFailed
	b.senses[b.cbw.lun] = heldSense{true, s}
}

// data begins the data that go to the host, or lets those end that come from it.
func (b *bot) data(p []byte) {
	b.c.phase = phaseStatus
	switch {
	case b.cbw.length == 0 || !b.cbw.toHost && b.got == b.cbw.length:
		b.phase = botStatus
	case !b.cbw.toHost:
		b.phase = botDataOut
	default:
		b.c.in = p
		b.residue -= len(p)
		b.short = b.f.config.Stall && len(p) < b.cbw.length
		b.phase = botDataIn
		if !b.short {
			b.zeroes = b.cbw.length - len(p)
		} else if len(p) == 0 {
			b.f.halt(b.f.endpoint(endpointDataIn))
			b.phase = botStatus
		}
	}
}

// send gives data to the host.
func (b *bot) send(t *Transfer) {
	c := b.c
	n := min(t.Length, len(c.in))
	t.Zeroes = min(t.Length-n, b.zeroes)
	t.Data, t.hold, t.Actual = c.in[:n], c.hold.acquire(), n+t.Zeroes
	c.in = c.in[n:]
	b.zeroes -= t.Zeroes
	if len(c.in) > 0 || b.zeroes > 0 {
		b.f.complete(t)
		return
	}
	in := b.f.endpoint(endpointDataIn)
	b.phase = botStatus
	if b.short && n < t.Length && n%in.MaxPacket == 0 { // no short packet ends it
		t.Status = StatusStall
	}
	b.f.complete(t)
	if b.short {
		b.f.halt(in)
	}
}

// receive takes data of the host's, for the command or to drop them.
func (b *bot) receive(t *Transfer) {
	c, out := b.c, b.f.endpoint(endpointDataOut)
	waits := c.phase == phaseDataOut
	n := min(len(t.Data), b.cbw.length-b.got)
	over := n < len(t.Data)
	ends := over || len(t.Data)%out.MaxPacket != 0 || len(t.Data) == 0 || b.got+n == b.cbw.length
	if waits {
		c.receive(b.f, t)
	}
	b.got += n
	t.Actual = n
	if over {
		t.Status = StatusStall
	}
	b.f.complete(t)
	if over {
		b.f.halt(out)
		b.status = cswPhaseError
		if waits {
			c.task.Abandon()
			waits = false
		}
	}
	switch {
	case !ends:
	case waits:
		b.got = b.cbw.length // no more will come
		b.phase = botBusy
		b.f.start(c)
	default:
		c.phase, b.phase = phaseStatus, botStatus
	}
}

// tellStatus sends the CSW.
func (b *bot) tellStatus(t *Transfer) {
	var p [cswLength]byte
	binary.LittleEndian.PutUint32(p[0:], cswSignature)
	binary.LittleEndian.PutUint32(p[4:], b.cbw.tag)
	binary.LittleEndian.PutUint32(p[8:], uint32(b.residue))
	p[12] = b.status
	if t.reply(p[:]) {
		b.f.drop(b.c)
		b.c, b.phase = nil, botCommand
	}
	b.f.complete(t)
}

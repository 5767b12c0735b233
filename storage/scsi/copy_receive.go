package scsi

import "math/bits"

// RECEIVE COPY RESULTS, as SPC-3 6.17 calls it: what became of third-party copies.

func copyReceiveCommands() []command {
	row := func(name string, action, id byte, locked func(*Task, []byte, []byte)) command {
		return command{
			name:  name,
			usage: []byte{0x84, action, id, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
			types: disks(), action: true, reserve: reserveWrites,
			plan: func(t *Task) { t.allocation(t.cdb32(10)) }, locked: locked,
		}
	}
	return []command{
		row("RECEIVE COPY STATUS(LID1)", 0x00, 0xff, (*Task).copyStatus),               // SPC-4 6.24
		row("RECEIVE COPY DATA(LID1)", 0x01, 0xff, (*Task).copyData),                   // SPC-4 6.21
		row("RECEIVE COPY OPERATING PARAMETERS", 0x03, 0x00, (*Task).copyParameters),   // SPC-4 6.22
		row("RECEIVE COPY FAILURE DETAILS(LID1)", 0x04, 0xff, (*Task).copyFailureData), // SPC-4 6.23
	}
}

// copyOf is the record of the list identifier in the CDB. If there is none the command fails.
func (t *Task) copyOf() *copyRecord {
	c := t.link.copy(t.cdb[2])
	if c == nil {
		t.invalidField(2, 7)
	}
	return c
}

// copyStatus tells how far a copy is, the bytes in units of 2^(10*unit).
func (t *Task) copyStatus(_, in []byte) {
	c := t.copyOf()
	if c == nil {
		return
	}
	r := reply{p: in}
	r.u32(8)
	r.bytes(c.state)
	r.u16(int(c.segments.Load()))
	count, unit := c.bytes.Load(), byte(0)
	for count > 1<<32-1 {
		count >>= 10
		unit++
	}
	r.bytes(unit)
	r.u32(uint32(count))
	t.replied(r)
}

// copyData gives data that a copy holds for its initiator: copies between disks have none.
func (t *Task) copyData(_, in []byte) {
	if t.copyOf() == nil {
		return
	}
	r := reply{p: in}
	r.u32(0)
	t.replied(r)
}

// copyFailureData gives the sense of the command that has made a copy fail.
func (t *Task) copyFailureData(_, in []byte) {
	c := t.copyOf()
	if c == nil {
		return
	}
	r := reply{p: in}
	r.u32(0)
	if c.state == copyFailed {
		r.zeroes(52)
		r.bytes(byte(c.status), 0)
		r.u16(len(c.sense))
		r.bytes(c.sense...)
		r.length32(0, 4)
	}
	t.replied(r)
}

// copyParameters tells bounds.
func (t *Task) copyParameters(_, in []byte) {
	r := reply{p: in}
	r.u32(0)
	r.bytes(0x01, 0, 0, 0) // SNLID: a list identifier is not needed
	r.u16(maxCopyUnits)
	r.u16(maxCopySegments)
	r.u32(maxCopyDescriptors)
	r.u32(t.maxCopySegment())
	r.zeroes(14) // no inline data, no held data, no streams
	r.u16(maxCopies)
	r.bytes(maxCopies, t.copyGranularity(), 0, 0)
	r.zeroes(3)
	r.bytes(2, segmentDescriptor, unitDescriptor)
	r.length32(0, 4)
	t.replied(r)
}

// maxCopySegment is how many bytes one segment can have.
func (t *Task) maxCopySegment() uint32 { return (1<<16 - 1) << t.unit.shift }

// copyGranularity is the size of a block as a power of two.
func (t *Task) copyGranularity() byte { return byte(bits.Len(uint(t.unit.config.BlockSize)) - 1) }

// thirdPartyCopy is the page 8Fh of the vital product data (SPC-4 7.8.17).
func (t *Task) thirdPartyCopy(r *reply) {
	r.u16(0x0001) // commands
	r.u16(12)
	r.bytes(9, 0x83, 1, 0x00, 0x84, 4, 0x00, 0x01, 0x03, 0x04, 0, 0)

	r.u16(0x0004) // parameter data
	r.u16(28)
	r.zeroes(4)
	r.u16(maxCopyUnits)
	r.u16(maxCopySegments)
	r.u32(maxCopyDescriptors)
	r.zeroes(16)

	r.u16(0x0008) // descriptors
	r.u16(4)
	r.bytes(2, segmentDescriptor, unitDescriptor, 0)

	r.u16(0x000c) // identifiers of units besides those of descriptors
	r.u16(4)
	r.u16(2)
	r.u16(ownUnit)

	r.u16(0x8001) // general
	r.u16(32)
	r.u32(maxCopies)
	r.u32(maxCopies)
	r.u32(t.maxCopySegment())
	r.bytes(t.copyGranularity(), 0)
	r.zeroes(18)
}

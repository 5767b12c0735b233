package scsi

import "github.com/seed-012105e5/gonet/storage/block"

// maxSame is MAXIMUM WRITE SAME LENGTH (SBC-3 6.6.3), in blocks: what a CDB of ten bytes
// can say.
const maxSame = 1<<16 - 1

func sbcSameCommands() []command {
	return []command{{
		name:  "WRITE SAME(10)", // SBC-3 5.43
		usage: []byte{0x41, 0x08, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00},
		types: disks(), flags: needsMedium | changesMedium, reserve: reserveWrites,
		plan: func(t *Task) { t.planSame(layout10) }, run: (*Task).writeSame,
	}, {
		name:  "WRITE SAME(16)", // SBC-3 5.44
		usage: []byte{0x93, 0x09, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00},
		types: disks(), flags: needsMedium | changesMedium, reserve: reserveWrites,
		plan: func(t *Task) { t.planSame(layout16) }, run: (*Task).writeSame,
	}}
}

// noData says whether the command has no data-out but means zeroes (NDOB).
func (t *Task) noData() bool { return t.cdb[0] == 0x93 && t.cdb[1]&0x01 != 0 }

func (t *Task) planSame(l layout) {
	lba, blocks := t.blocksOf(l)
	if t.cdb[1]&0x08 != 0 && !t.medium.unmaps() {
		t.invalidField(1, 3) // UNMAP, and LBPWS is zero
		return
	}
	if !t.planToEnd(lba, blocks) {
		return
	}
	if t.blocks > maxSame {
		t.invalidField(l.lengthAt, 7)
		return
	}
	if !t.noData() {
		t.DataOut = t.unit.config.BlockSize
	}
}

// writeSame writes one block to all. Zeroes it has the device make. With UNMAP it lets the
// device forget the blocks, if they will read as what was to be written (SBC-3 4.7.3.4.4).
func (t *Task) writeSame(out, _ []byte) {
	if len(out) != t.DataOut || t.ExpectedOut > t.DataOut {
		t.refuseLength()
		return
	}
	held, ok := t.enter(false)
	if !ok {
		return
	}
	defer t.leave(held)
	switch zero := isZero(out); {
	case t.cdb[1]&0x08 != 0 && (zero || !t.medium.unmapsToZero()):
		ok = t.unmapRange(t.lo, t.hi)
	case zero:
		ok = t.zeroRange(t.lo, t.hi, block.ZeroNoHole)
	default:
		ok = t.fill(out)
	}
	if ok && t.through {
		ok = t.sync()
	}
	if ok {
		t.Transferred = t.DataOut
	}
}

// fill writes one block to all of the range.
func (t *Task) fill(one []byte) bool {
	buffer := t.unit.buffer()
	defer t.unit.buffers.Put(buffer)
	most := int64(min(bufferSize, int(t.hi-t.lo)))
	for i := 0; i < int(most); i += len(one) {
		copy(buffer[i:], one)
	}
	for off := t.lo; off < t.hi; {
		if !t.goesOn() {
			return t.interrupted()
		}
		p := buffer[:min(most, t.hi-off)]
		if !t.put(p, off, false) {
			return false
		}
		off += int64(len(p))
	}
	return true
}

func isZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

package scsi

import (
	"bytes"
)

func sbcVerifyCommands() []command {
	row := func(name string, l layout, usage ...byte) command {
		return command{
			name: name, usage: usage, types: disks(), flags: needsMedium, reserve: reserveReads,
			plan: func(t *Task) { t.planVerify(l) },
			run:  (*Task).verify,
		}
	}
	return []command{
		row("VERIFY(10)", layout10, 0x2f, 0x16, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0x00),                                     // SBC-3 5.29
		row("VERIFY(12)", layout12, 0xaf, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00),                         // SBC-3 5.30
		row("VERIFY(16)", layout16, 0x8f, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00), // SBC-3 5.31
	}
}

// planVerify plans by BYTCHK (SBC-3 5.29): no data-out, all blocks, or one block
// that all are to be like.
func (t *Task) planVerify(l layout) {
	switch t.byteCheck() {
	case 0:
		t.planBlocks(t.blocksOf(l))
	case 1:
		if t.planTransfer(l) {
			t.DataOut = int(t.hi - t.lo)
		}
	case 3:
		if t.planBlocks(t.blocksOf(l)) && t.blocks > 0 {
			t.DataOut = t.unit.config.BlockSize
		}
	default:
		t.invalidField(1, 2)
	}
}

func (t *Task) verify(out, _ []byte) {
	if !t.wholeBlocks(out) {
		return
	}
	held, ok := t.enter(false)
	if !ok {
		return
	}
	defer t.leave(held)
	ok = true
	switch t.byteCheck() {
	case 0:
		ok = t.verifyRange(t.lo, t.hi-t.lo, nil)
	case 1:
		ok = t.verifyRange(t.lo, int64(len(out)), out)
	case 3:
		for off := t.lo; off < t.hi && ok && len(out) > 0; off += int64(len(out)) {
			ok = t.verifyRange(off, int64(len(out)), out)
		}
	}
	if ok {
		t.Transferred = t.DataOut
	}
}

// verifyRange reads a range, and compares it if there is something to compare it with. It
// says whether both went well, or makes the command fail.
func (t *Task) verifyRange(off, length int64, against []byte) bool {
	buffer := t.unit.buffer()
	defer t.unit.buffers.Put(buffer)
	for done := int64(0); done < length; {
		if !t.goesOn() {
			return t.interrupted()
		}
		p := buffer[:min(length-done, bufferSize)]
		if n, err := t.medium.disk.ReadAtContext(t.ctx, p, off+done); err != nil {
			t.failDevice(readFailed, off+done+int64(n), err)
			return false
		}
		if against != nil {
			if i := mismatch(p, against[done:]); i >= 0 {
				t.fail(Sense{
					Key: Miscompare, Code: CodeMiscompare,
					HasInformation: true, Information: t.lbaOf(off + done + int64(i)),
				})
				return false
			}
		}
		done += int64(len(p))
	}
	return true
}

// mismatch is the index of the first byte of p that is not as in q, or negative.
func mismatch(p, q []byte) int {
	if bytes.Equal(p, q[:len(p)]) {
		return -1
	}
	for i := range p {
		if p[i] != q[i] {
			return i
		}
	}
	return -1
}

// bufferSize is that of the buffers for work on more bytes than need be held at once. A
// block has room in it.
const bufferSize = 64 << 10

// buffer takes one that must be put back.
func (u *Unit) buffer() *[bufferSize]byte {
	if b, ok := u.buffers.Get().(*[bufferSize]byte); ok {
		return b
	}
	return new([bufferSize]byte)
}

package scsi

// maxCompare is MAXIMUM COMPARE AND WRITE LENGTH (SBC-3 6.6.3), in blocks.
const maxCompare = 255

func sbcCompareCommands() []command {
	return []command{{
		name:  "COMPARE AND WRITE", // SBC-3 5.2
		usage: []byte{0x89, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0x1f, 0x00},
		types: disks(), flags: needsMedium | changesMedium, reserve: reserveWrites,
		plan: func(t *Task) {
			if 2*int(t.cdb[13])<<t.unit.shift > largestMaxTransfer {
				t.invalidField(13, 7)
			} else if t.planBlocks(t.cdb64(2), uint64(t.cdb[13])) {
				t.DataOut = 2 * int(t.hi-t.lo)
			}
		},
		run: (*Task).compareAndWrite,
	}, {
		name:  "ORWRITE(16)", // SBC-3 5.5
		usage: []byte{0x8b, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x00},
		types: disks(), flags: needsMedium | changesMedium, reserve: reserveWrites,
		plan: func(t *Task) {
			if t.planTransfer(layout16) {
				t.DataOut = int(t.hi - t.lo)
			}
		},
		run: (*Task).orWrite,
	}}
}

// compareAndWrite writes the second half of data-out if the medium holds the first half.
// No other command comes between.
func (t *Task) compareAndWrite(out, _ []byte) {
	switch {
	case t.ExpectedOut > t.DataOut: // more blocks than the byte of the CDB can say
		t.invalidField(13, 7)
		return
	case len(out) != t.DataOut:
		t.refuseLength()
		return
	}
	held, ok := t.enter(true)
	if !ok {
		return
	}
	defer t.leave(held)
	half := len(out) / 2
	if !t.compare(out[:half]) {
		return
	}
	if t.put(out[half:], t.lo, t.through || t.cdb[1]&bitsDurable != 0) {
		t.Transferred = t.DataOut
	}
}

// compare says whether the medium holds p. If not, the information is the offset in
// data-out of the first byte that differs.
func (t *Task) compare(p []byte) bool {
	buffer := t.unit.buffer()
	defer t.unit.buffers.Put(buffer)
	for done := 0; done < len(p); {
		q := buffer[:min(len(p)-done, bufferSize)]
		if n, err := t.medium.disk.ReadAtContext(t.ctx, q, t.lo+int64(done)); err != nil {
			t.failDevice(readFailed, t.lo+int64(done+n), err)
			return false
		}
		if i := mismatch(q, p[done:]); i >= 0 {
			t.fail(Sense{Key: Miscompare, Code: CodeMiscompare, HasInformation: true, Information: uint64(done + i)})
			return false
		}
		done += len(q)
	}
	return true
}

// orWrite sets the bits that are set in data-out. No other command comes between reading
// and writing.
func (t *Task) orWrite(out, _ []byte) {
	if !t.wholeBlocks(out) {
		return
	}
	held, ok := t.enter(true)
	if !ok {
		return
	}
	defer t.leave(held)
	durable := t.through || t.cdb[1]&bitsDurable != 0
	buffer := t.unit.buffer()
	defer t.unit.buffers.Put(buffer)
	for done := 0; done < len(out); {
		if !t.goesOn() {
			t.interrupted()
			return
		}
		p := buffer[:min(len(out)-done, bufferSize)]
		off := t.lo + int64(done)
		if n, err := t.medium.disk.ReadAtContext(t.ctx, p, off); err != nil {
			t.failDevice(readFailed, off+int64(n), err)
			return
		}
		for i := range p {
			p[i] |= out[done+i]
		}
		if !t.put(p, off, durable) {
			return
		}
		done += len(p)
	}
	t.Transferred = t.DataOut
}

package scsi

import "encoding/binary"

func spcModeCommands() []command {
	return []command{{
		name:  "MODE SENSE(6)", // SPC-4 6.11
		usage: []byte{0x1a, 0x08, 0xff, 0xff, 0xff, 0x00},
		types: both(), reserve: reserveReads,
		plan: func(t *Task) { t.allocation(uint32(t.cdb[4])) }, locked: (*Task).modeSense,
	}, {
		name:  "MODE SENSE(10)", // SPC-4 6.12
		usage: []byte{0x5a, 0x18, 0xff, 0xff, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00},
		types: both(), reserve: reserveReads,
		plan: func(t *Task) { t.allocation(t.cdb16(7)) }, locked: (*Task).modeSense,
	}, {
		name:  "MODE SELECT(6)", // SPC-4 6.9
		usage: []byte{0x15, 0x11, 0x00, 0x00, 0xff, 0x00},
		types: both(), flags: waits | changesUnit, reserve: reserveWrites,
		plan: func(t *Task) { t.planModeSelect(int(t.cdb[4])) }, locked: (*Task).modeSelect,
	}, {
		name:  "MODE SELECT(10)", // SPC-4 6.10
		usage: []byte{0x55, 0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00},
		types: both(), flags: waits | changesUnit, reserve: reserveWrites,
		plan: func(t *Task) { t.planModeSelect(int(t.cdb16(7))) }, locked: (*Task).modeSelect,
	}}
}

// longMode says whether the command is one of ten bytes, whose header is longer.
func (t *Task) longMode() bool { return t.cdb[0]&0x40 != 0 }

// Page control of MODE SENSE (SPC-4 6.11.1).
const (
	currentValues byte = iota
	changeableValues
	defaultValues
	savedValues
)

// modeSense gives the pages of the CDB after a header (SPC-4 7.5.5) and, unless DBD, a block
// descriptor.
func (t *Task) modeSense(_, in []byte) {
	control, code, subpage := t.cdb[2]>>6, t.cdb[2]&0x3f, t.cdb[3]
	if control == savedValues && t.unit.config.Store == nil {
		t.fail(Sense{Key: IllegalRequest, Code: CodeSavingNotSupported})
		return
	}
	r := reply{p: in}
	t.modeHeader(&r)
	if !t.modePages(&r, control, code, subpage) {
		return
	}
	if t.longMode() {
		r.length16(0, 2)
	} else {
		r.set(0, byte(min(r.n-1, 255)))
	}
	t.replied(r)
}

// modeHeader writes the header and the block descriptor.
func (t *Task) modeHeader(r *reply) {
	s := &t.unit.state
	var specific byte
	if t.unit.config.Type == Disk { // SBC-3 6.5.1
		specific = 0x10 // DPOFUA
		if s.pages.protect || t.link.readOnly || t.unit.config.ReadOnly || t.medium != nil && t.medium.readOnly {
			specific |= 0x80 // WP
		}
	}
	descriptor := 8
	if t.cdb[1]&0x08 != 0 || t.unit.config.Type != Disk { // DBD
		descriptor = 0
	}
	long := t.longMode() && t.cdb[1]&0x10 != 0 && descriptor > 0 // LLBAA
	if t.longMode() {
		var flag byte
		if long {
			descriptor, flag = 16, 0x01
		}
		r.bytes(0, 0, 0, specific, flag, 0)
		r.u16(descriptor)
	} else {
		r.bytes(0, 0, specific, byte(descriptor))
	}
	switch {
	case long: // SBC-3 6.5.2.3
		r.u64(t.last)
		r.u32(0)
		r.u32(uint32(t.unit.config.BlockSize))
	case descriptor > 0: // SBC-3 6.5.2.2
		r.u32(uint32(min(t.last, 1<<32-1)))
		r.u32(uint32(t.unit.config.BlockSize))
	}
}

// modePages writes the pages that the CDB asks for, or makes the command fail.
func (t *Task) modePages(r *reply, control, code, subpage byte) bool {
	found := false
	for _, p := range modePagesOf(t.unit.config.Type) {
		switch {
		case code == 0x3f && (subpage == 0xff || subpage == p.subpage && subpage == 0):
		case code == p.code && (subpage == 0xff || subpage == p.subpage):
		default:
			continue
		}
		found = true
		t.modePage(r, p, control)
	}
	if !found {
		if code == 0x3f || hasModePage(t.unit.config.Type, code) {
			t.invalidField(3, 7)
		} else {
			t.invalidField(2, 5)
		}
	}
	return found
}

// modePage writes one page. Bits that can change are those that differ between two sets of
// values of which one has all and the other none.
func (t *Task) modePage(r *reply, p modePage, control byte) {
	s := &t.unit.state
	var page, none [maxModePage]byte
	n := p.length
	switch control {
	case currentValues:
		p.write(t, &s.pages, page[:n])
	case defaultValues:
		values := newModePages(&t.unit.config)
		p.write(t, &values, page[:n])
	case savedValues:
		p.write(t, &s.savedPages, page[:n])
	case changeableValues:
		p.write(t, &allModePages, page[:n])
		p.write(t, &noModePages, none[:n])
		for i := range page {
			page[i] ^= none[i]
		}
	}
	p.header(page[:n])
	if t.unit.config.Store != nil && p.read != nil {
		page[0] |= 0x80 // PS
	}
	r.bytes(page[:n]...)
}

func (t *Task) planModeSelect(length int) {
	switch {
	case t.cdb[1]&0x10 == 0: // PF
		t.invalidField(1, 4)
	case t.cdb[1]&0x01 != 0 && t.unit.config.Store == nil: // SP
		t.invalidField(1, 0)
	default:
		t.DataOut = length
	}
}

// modeSelect takes new values from all pages of the parameter list, or none if one is
// wrong.
func (t *Task) modeSelect(out, _ []byte) {
	if t.DataOut == 0 {
		return
	}
	at, ok := t.modeSelectHeader(out)
	if !ok {
		return
	}
	s := &t.unit.state
	values := s.pages
	for at < len(out) {
		n, ok := t.modeSelectPage(out, at, &values)
		if !ok {
			return
		}
		at += n
	}
	t.Transferred = t.DataOut
	if values != s.pages {
		if s.pages.cache && !values.cache {
			t.then = (*Task).flushCache
		}
		s.pages = values
		for _, l := range s.links {
			if l != t.link {
				l.establish(CodeModeChanged) // SPC-4 6.9
			}
		}
	}
	if t.cdb[1]&0x01 != 0 {
		s.savedPages = values
		t.then = (*Task).flushAndSave
	}
}

// flushCache makes durable what was written with a write cache, now that there is none.
func (t *Task) flushCache() {
	if t.medium != nil && !t.medium.readOnly {
		t.sync()
	}
}

func (t *Task) flushAndSave() {
	t.flushCache()
	if !t.done {
		t.persist()
	}
}

// modeSelectHeader reads the header and the block descriptor, which may not change anything,
// and returns where pages begin.
func (t *Task) modeSelectHeader(out []byte) (at int, ok bool) {
	header, descriptor := 4, 0
	if t.longMode() {
		header = 8
	}
	if len(out) < header {
		t.fail(Sense{Key: IllegalRequest, Code: CodeParameterListLength})
		return 0, false
	}
	long := false
	if t.longMode() {
		descriptor, long = int(binary.BigEndian.Uint16(out[6:])), out[4]&0x01 != 0
	} else {
		descriptor = int(out[3])
	}
	at = header + descriptor
	size, sizeAt := 0, header+5
	switch {
	case descriptor == 0:
		return at, true
	case len(out) < at:
		t.fail(Sense{Key: IllegalRequest, Code: CodeParameterListLength})
		return 0, false
	case descriptor == 8 && !long:
		size = int(binary.BigEndian.Uint32(out[header+4:]) & 0xffffff)
	case descriptor == 16 && long:
		size, sizeAt = int(binary.BigEndian.Uint32(out[header+12:])), header+12
	}
	if size != t.unit.config.BlockSize {
		t.invalidParameter(sizeAt, -1)
		return 0, false
	}
	return at, true
}

// modeSelectPage reads the page at a byte of the parameter list into values, and returns how
// long it is.
func (t *Task) modeSelectPage(out []byte, at int, values *modePages) (n int, ok bool) {
	p, head := modePage{}, 2
	code, subpage := out[at]&0x3f, byte(0)
	if out[at]&0x40 != 0 { // SPF
		head = 4
	}
	if len(out) < at+head {
		t.fail(Sense{Key: IllegalRequest, Code: CodeParameterListLength})
		return 0, false
	}
	n = head + int(out[at+1])
	if head == 4 {
		subpage, n = out[at+1], head+int(binary.BigEndian.Uint16(out[at+2:]))
	}
	for _, known := range modePagesOf(t.unit.config.Type) {
		if known.code == code && known.subpage == subpage {
			p = known
		}
	}
	switch {
	case p.write == nil:
		t.invalidParameter(at, 5)
	case n != p.length:
		t.invalidParameter(at+head-1, -1)
	case len(out) < at+n:
		t.fail(Sense{Key: IllegalRequest, Code: CodeParameterListLength})
	default:
		return n, t.checkModePage(p, out[at:at+n], at, head, values)
	}
	return 0, false
}

// checkModePage refuses a page that changes what cannot be changed, and reads it.
func (t *Task) checkModePage(p modePage, page []byte, at, head int, values *modePages) bool {
	var current, all, none [maxModePage]byte
	p.write(t, values, current[:p.length])
	p.write(t, &allModePages, all[:p.length])
	p.write(t, &noModePages, none[:p.length])
	for i := head; i < len(page); i++ {
		if wrong := (page[i] ^ current[i]) &^ (all[i] ^ none[i]); wrong != 0 {
			t.invalidParameter(at+i, highestBit(wrong))
			return false
		}
	}
	if p.read != nil {
		p.read(values, page)
	}
	return true
}

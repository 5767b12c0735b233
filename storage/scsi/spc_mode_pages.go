package scsi

import "slices"

// modePages are the values of mode pages that can change.
type modePages struct {
	cache      bool // WCE of the caching page
	descriptor bool // D_SENSE of the control page
	protect    bool // SWP of the control page
	status     bool // TAS of the control page
}

// All values that can change, and none of them.
var (
	allModePages = modePages{cache: true, descriptor: true, protect: true, status: true}
	noModePages  = modePages{}
)

// newModePages are the values that a unit begins with. TAS is one (SPC-4 7.5.8): who is told
// nothing of a command that another initiator has aborted waits for it in vain until its time
// is up, and then resets the unit, under the feet of the others (Linux does, a minute later).
func newModePages(c *UnitConfig) modePages { return modePages{cache: !c.WriteThrough, status: true} }

// A modePage is a mode page or subpage of length bytes, its header among them. write writes
// it with values, read takes from it what can be changed, or is nil if nothing can.
type modePage struct {
	code, subpage byte
	length        int
	write         func(t *Task, values *modePages, page []byte)
	read          func(values *modePages, page []byte)
}

// maxModePage is the length of the longest page.
const maxModePage = 64

// header writes the first bytes of a page.
func (p modePage) header(page []byte) {
	if p.subpage == 0 {
		page[0], page[1] = p.code, byte(p.length-2)
		return
	}
	page[0], page[1], page[2], page[3] = p.code|0x40, p.subpage, 0, byte(p.length-4)
}

// modePagesOf are the pages of a type of unit in the order of their codes.
func modePagesOf(of Type) []modePage {
	if of == Disk {
		return diskModePages[:]
	}
	return cdromModePages[:]
}

func hasModePage(of Type, code byte) bool {
	return slices.ContainsFunc(modePagesOf(of), func(p modePage) bool { return p.code == code })
}

var (
	diskModePages  = [...]modePage{recoveryPage, cachingPage, controlPage, exceptionsPage}
	cdromModePages = [...]modePage{recoveryPage, controlPage, exceptionsPage, capabilitiesPage}
)

// recoveryPage is the read-write error recovery page (SBC-3 6.5.8), the first bytes of which
// are those of MMC-5 7.3: errors are told, nothing is tried again.
var recoveryPage = modePage{
	code: 0x01, length: 12,
	write: func(_ *Task, _ *modePages, page []byte) {
		page[2] = 0xc0 // AWRE, ARRE
	},
}

// cachingPage is the caching page (SBC-3 6.5.5).
var cachingPage = modePage{
	code: 0x08, length: 20,
	write: func(_ *Task, v *modePages, page []byte) {
		page[2] = bit(v.cache, 0x04) // WCE
		page[12] = 0x20              // DRA: nothing is read ahead here
	},
	read: func(v *modePages, page []byte) { v.cache = page[2]&0x04 != 0 },
}

// controlPage is the control page (SPC-4 7.5.8).
var controlPage = modePage{
	code: 0x0a, length: 12,
	write: func(_ *Task, v *modePages, page []byte) {
		page[2] = 0x20 | bit(v.descriptor, 0x04) // TST 001b, D_SENSE
		page[3] = 0x10                           // QUEUE ALGORITHM MODIFIER 1h, QERR 00b
		page[4] = bit(v.protect, 0x08)           // SWP
		page[5] = bit(v.status, 0x40)            // TAS
		page[8], page[9] = 0xff, 0xff            // BUSY TIMEOUT PERIOD: no bound
	},
	read: func(v *modePages, page []byte) {
		v.descriptor = page[2]&0x04 != 0
		v.protect = page[4]&0x08 != 0
		v.status = page[5]&0x40 != 0
	},
}

// exceptionsPage is the informational exceptions control page (SPC-4 7.5): none are
// reported.
var exceptionsPage = modePage{
	code: 0x1c, length: 12,
	write: func(_ *Task, _ *modePages, page []byte) {
		page[2] = 0x08 // DEXCPT
	},
}

// bit is b if on.
func bit(on bool, b byte) byte {
	if on {
		return b
	}
	return 0
}

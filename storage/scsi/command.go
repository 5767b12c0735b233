package scsi

import (
	"math/bits"
	"sync"
)

// A command is what this package knows of an operation code, or of a service action of
// one.
type command struct {
	name string

	// usage is the CDB usage data (SPC-4 6.35.3): byte 0 is the operation code; bits
	// that are zero in the others are reserved, and a CDB that sets one is refused. With
	// action the low five bits of byte 1 are the service action itself, not a map.
	usage  []byte
	action bool

	types []Type // of units that know the command

	flags commandFlags

	// present, if set, says whether the unit, as it is, knows the command.
	present func(*state) bool

	// reserve says what a reservation of another nexus does to the command.
	reserve reserveClass

	// plan reads the CDB, whose reserved bits are zero: it sets the task's DataOut,
	// DataIn and range, or makes it fail. The unit's token is held. nil is a command
	// without data.
	plan func(*Task)

	// One of these does the work. locked is for what the unit's state says or
	// changes: it is called with the token held, and must not block. run works on the
	// device, with what plan has put into the task.
	locked func(t *Task, out, in []byte)
	run    func(t *Task, out, in []byte)
}

type commandFlags uint8

const (
	// needsMedium: without a medium, NOT READY.
	needsMedium commandFlags = 1 << iota
	// changesMedium: on a medium that is write protected, DATA PROTECT.
	changesMedium
	// ignoresAttention: done whatever unit attention there is (SAM-4 5.14.4).
	ignoresAttention
	// needsNoUnit: done also where there is no unit of the LUN.
	needsNoUnit
	// waits: Execute may wait, though nothing is done on the device (Task.then).
	waits
	// changesUnit: of a nexus that may only read, DATA PROTECT, since others would notice.
	// Whether START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL do is said by their CDB.
	changesUnit
)

// A reserveClass says by what reservations a command conflicts, as the tables of SPC-2 5.5.1,
// SPC-4 5.12.1 and SBC-3 4.16 have it.
type reserveClass uint8

const (
	// Whatever is reserved.
	reserveAllowed reserveClass = iota
	// By others: by RESERVE, or by a reservation that excludes reading.
	reserveReads
	// By others: by RESERVE, or by any reservation.
	reserveWrites
	// By others: by RESERVE alone.
	reserveReady
	// As reserveWrites, unless PREVENT, in byte 4 of the CDB, is zero.
	reservePrevent
	// As reserveWrites, unless START is one and POWER CONDITION zero, in byte 4; by
	// RESERVE in any case.
	reserveStart
	// By RESERVE, of whichever nexus (SPC-2 5.5.1).
	reservePersistent
	// The command itself looks at reservations.
	reserveOwn
)

// A commandSet is the commands of a type of unit.
type commandSet struct {
	all      []command
	byOpcode [256][]*command // more than one where there are service actions
}

// diskCommands and cdromCommands are made once, and read only.
var (
	diskCommands  = sync.OnceValue(func() *commandSet { return newCommandSet(Disk) })
	cdromCommands = sync.OnceValue(func() *commandSet { return newCommandSet(CDROM) })
)

func commandsOf(t Type) *commandSet {
	if t == CDROM {
		return cdromCommands()
	}
	return diskCommands()
}

// tables are the rows of each file, all in all the whole table.
func tables() [][]command {
	return [][]command{
		spcInquiryCommands(), spcLUNsCommands(), spcReadyCommands(),
		spcModeCommands(), spcLogCommands(), spcOpcodesCommands(), spcStartCommands(), spcDiagnosticCommands(),
		sbcCapacityCommands(), sbcReadCommands(), sbcWriteCommands(), sbcVerifyCommands(), sbcCompareCommands(),
		sbcSameCommands(), sbcUnmapCommands(), sbcCacheCommands(), sbcDefectCommands(),
		reserveLegacyCommands(), reserveInCommands(), reserveOutCommands(),
		copyExtendedCommands(), copyReceiveCommands(),
		mmcTOCCommands(), mmcFeatureCommands(), mmcEventCommands(), mmcDiscCommands(),
	}
}

func newCommandSet(of Type) *commandSet {
	s := &commandSet{}
	for _, table := range tables() {
		for _, c := range table {
			for _, t := range c.types {
				if t == of {
					s.all = append(s.all, c)
				}
			}
		}
	}
	for i := range s.all {
		c := &s.all[i]
		s.byOpcode[c.usage[0]] = append(s.byOpcode[c.usage[0]], c)
	}
	return s
}

// find returns the command of a CDB of any length. Of an operation code with service
// actions that are all others it returns nil and known. unit is nil where there is no
// unit.
func (s *commandSet) find(cdb []byte, unit *state) (c *command, known bool) {
	for _, c := range s.byOpcode[cdb[0]] {
		if unit != nil && c.present != nil && !c.present(unit) {
			continue
		}
		if !c.action || len(cdb) > 1 && cdb[1]&0x1f == c.usage[1]&0x1f {
			return c, true
		}
		known = true
	}
	return nil, known
}

// reserved finds the first bit of the CDB that must be zero and is not: the byte and the
// highest such bit in it. A CDB that is too short has its first missing byte in error.
func (c *command) reserved(cdb []byte) (at, bit int, bad bool) {
	if len(cdb) < len(c.usage) {
		return len(cdb), -1, true
	}
	for i := 1; i < len(c.usage); i++ {
		mask := c.usage[i]
		if i == 1 && c.action {
			mask |= 0x1f
		}
		if wrong := cdb[i] &^ mask; wrong != 0 {
			return i, highestBit(wrong), true
		}
	}
	return 0, 0, false
}

func highestBit(b byte) int { return bits.Len8(b) - 1 }

// both are the types of units that know the commands of SPC-4.
func both() []Type { return []Type{Disk, CDROM} }

// cdroms are the types of units that know the commands of MMC-5 alone.
func cdroms() []Type { return []Type{CDROM} }

// disks are the types of units that know the commands of SBC-3 alone.
func disks() []Type { return []Type{Disk} }

package scsi

import "math/bits"

func sbcCapacityCommands() []command {
	return []command{{
		name:  "READ CAPACITY(10)", // SBC-3 5.15, MMC-5 6.25
		usage: []byte{0x25, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00},
		types: both(), flags: needsMedium, reserve: reserveAllowed,
		plan: func(t *Task) { t.allocation(8) }, locked: (*Task).readCapacity10,
	}, {
		name:  "READ CAPACITY(16)", // SBC-3 5.16
		usage: []byte{0x9e, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
		types: disks(), action: true, flags: needsMedium, reserve: reserveAllowed,
		plan: func(t *Task) { t.allocation(t.cdb32(10)) }, locked: (*Task).readCapacity16,
	}}
}

// lastBlock is the address of the last block. A medium without blocks has no such
// address: it is then said to have one block, which cannot be read.
func (t *Task) lastBlock() uint64 { return max(t.last, 1) - 1 }

func (t *Task) readCapacity10(_, in []byte) {
	r := reply{p: in}
	r.u32(uint32(min(t.lastBlock(), 1<<32-1)))
	r.u32(uint32(t.unit.config.BlockSize))
	t.replied(r)
}

func (t *Task) readCapacity16(_, in []byte) {
	r := reply{p: in}
	r.u64(t.lastBlock())
	r.u32(uint32(t.unit.config.BlockSize))
	r.bytes(0, byte(bits.Len(uint(t.unit.config.PhysicalBlock/t.unit.config.BlockSize))-1)) // no protection
	var thin byte
	if t.medium.unmaps() {
		thin |= 0x80 // LBPME
		if t.medium.unmapsToZero() {
			thin |= 0x40 // LBPRZ
		}
	}
	r.bytes(thin, 0)
	r.zeroes(32 - r.n)
	t.replied(r)
}

// unmaps says whether UNMAP makes the medium take less room, if it can.
func (m *medium) unmaps() bool { return m.info.Trim || m.info.Zero }

// unmapsToZero says whether blocks that were unmapped read as zeroes.
func (m *medium) unmapsToZero() bool { return m.info.Zero }

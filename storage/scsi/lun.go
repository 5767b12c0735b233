package scsi

import "encoding/binary"

// A LUN is the eight bytes of a logical unit number as they are sent (SAM-4 4.6),
// the first of them the most significant.
type LUN uint64

// MaxLUN is the largest number of a logical unit, that of flat space addressing.
const MaxLUN = 1<<14 - 1

// LUNOf is the LUN of number n: one byte long below 256, and flat above.
func LUNOf(n int) LUN {
	if n >= 1<<8 {
		n |= 1 << 14
	}
	return LUN(n) << 48
}

// ParseLUN reads the eight bytes.
func ParseLUN(p [8]byte) LUN { return LUN(binary.BigEndian.Uint64(p[:])) }

// Bytes are the eight bytes as they are sent.
func (l LUN) Bytes() (p [8]byte) {
	binary.BigEndian.PutUint64(p[:], uint64(l))
	return p
}

// Number is the number of a logical unit of one level, in peripheral device
// addressing on bus 0 or flat space addressing. All others are no LUNs of ours.
func (l LUN) Number() (n int, ok bool) {
	if l<<16 != 0 {
		return 0, false
	}
	switch n = int(l >> 48); n >> 14 {
	case 0:
		return n, n < 1<<8
	case 1:
		return n & MaxLUN, true
	}
	return 0, false
}

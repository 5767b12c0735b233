// Package checksum computes the Internet checksum of RFC 1071.
//
// A sum is carried as an unfolded uint64 in the machine's arithmetic of
// big-endian 16-bit words, so that parts of a packet can be summed one after
// the other; every part but the last must have an even length.
package checksum

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the 16-bit words of p to sum.
func Sum(p []byte, sum uint64) uint64 {
	// RFC 1071 section 2 (A) and (B): the sum may be taken in wider words and
	// in any byte order. Four accumulators of 64 bits with the carry added
	// back keep the processor's adders busy.
	var carry uint64
	s := uint64(0)
	for len(p) >= 64 {
		q := p[:64:64]
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(q[0:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(q[8:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(q[16:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(q[24:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(q[32:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(q[40:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(q[48:]), carry)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(q[56:]), carry)
		p = p[64:]
	}
	for len(p) >= 8 {
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(p), carry)
		p = p[8:]
	}
	if len(p) > 0 {
		var tail [8]byte // an odd last byte is padded with zero (RFC 1071 section 1)
		copy(tail[:], p)
		s, carry = bits.Add64(s, binary.LittleEndian.Uint64(tail[:]), carry)
	}
	s, carry = bits.Add64(s, 0, carry)
	s += carry
	return sum + uint64(bits.ReverseBytes16(Fold(s)))
}

// Fold brings a sum to 16 bits. The checksum of a header is ^Fold(sum).
func Fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum)
}

// Of is the checksum of p: what goes in the field while it holds zero. A p
// whose field is filled in rightly has the checksum 0.
func Of(p []byte) uint16 { return ^Fold(Sum(p, 0)) }

// Update is the checksum after a 16-bit word under it has changed from old to
// new (RFC 1624, equation 3).
func Update(sum, old, new uint16) uint16 {
	return ^Fold(uint64(^sum) + uint64(^old) + uint64(new))
}

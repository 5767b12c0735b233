package memory

import (
	"math/bits"
	"runtime"
)

// The fields of rings are little-endian (VIRTIO 1.2 section 1.4). These read
// and write them whole, each exactly once. A load is ordered before all that
// follows it, a store after all that goes before it, and a store before a load
// that follows it, as sync/atomic has it. All panic when b is too short, or
// when its address does not suit.

// Load32 reads the 4 bytes at b[at:], which are aligned.
func Load32(b []byte, at int) uint32 { return little32(load32(pointer32(b, at))) }

// Store32 writes the 4 bytes at b[at:], which are aligned.
func Store32(b []byte, at int, v uint32) { store32(pointer32(b, at), little32(v)) }

// Load64 reads the 8 bytes at b[at:], which are aligned.
func Load64(b []byte, at int) uint64 { return little64(load64(pointer64(b, at))) }

// Store64 writes the 8 bytes at b[at:], which are aligned.
func Store64(b []byte, at int, v uint64) { store64(pointer64(b, at), little64(v)) }

// Or32 sets bits of the 4 bytes at b[at:], which are aligned, and leaves those
// that others set at the same time.
func Or32(b []byte, at int, set uint32) {
	p, set := pointer32(b, at), little32(set)
	for {
		old := load32(p)
		if old&set == set || swap32(p, old, old|set) {
			return
		}
	}
}

// Load16 reads the 2 bytes at b[at:], whose address is even.
func Load16(b []byte, at int) uint16 {
	p, bytes := pointerAround(b, at)
	return uint16(little32(load32(p)) >> (8 * bytes))
}

// Store16 writes the 2 bytes at b[at:], whose address is even. The 2 bytes
// beside them, of somebody else, stay as they are, even when they change
// meanwhile.
func Store16(b []byte, at int, v uint16) {
	p, bytes := pointerAround(b, at)
	mask, set := little32(0xffff<<(8*bytes)), little32(uint32(v)<<(8*bytes))
	for {
		if old := load32(p); swap32(p, old, old&^mask|set) {
			return
		}
	}
}

// bigEndian says that this machine's numbers are not little-endian.
const bigEndian = runtime.GOARCH == "s390x" || runtime.GOARCH == "ppc64" || runtime.GOARCH == "mips" || runtime.GOARCH == "mips64"

// little32 makes a little-endian number of one of this machine, or back.
func little32(v uint32) uint32 {
	if bigEndian {
		return bits.ReverseBytes32(v)
	}
	return v
}

// little64 is the same for 8 bytes.
func little64(v uint64) uint64 {
	if bigEndian {
		return bits.ReverseBytes64(v)
	}
	return v
}

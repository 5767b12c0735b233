package memory

import "unsafe"

// This is the only file below vhost that uses unsafe, for three reasons.
//
// Rings are shared with another process, which reads what is written here and
// writes what is read here at the same time. Their fields must be read and
// written whole, once, and in order, which in Go sync/atomic does, and that wants
// pointers to integers.
//
// A fault says its address, which must be compared with those of regions.
//
// And the kernel's own devices (package kernel) are told addresses of this process.

// pointer32 returns the address of the 4 bytes at b[at:]. It panics when b is
// shorter. They must be aligned (see [Aligned]).
func pointer32(b []byte, at int) *uint32 {
	_ = b[at : at+4]
	return (*uint32)(unsafe.Pointer(&b[at]))
}

// pointer64 is the same for 8 bytes.
func pointer64(b []byte, at int) *uint64 {
	_ = b[at : at+8]
	return (*uint64)(unsafe.Pointer(&b[at]))
}

// pointerAround returns the address of the aligned 4 bytes that the 2 at b[at:]
// lie in, and in how many bits from the start those lie, counted in memory. The
// other 2 may lie outside of b, but never in another page: they can be read.
func pointerAround(b []byte, at int) (p *uint32, bytes int) {
	_ = b[at : at+2]
	q := unsafe.Pointer(&b[at])
	bytes = int(uintptr(q) & 2)
	return (*uint32)(unsafe.Add(q, -bytes)), bytes
}

// Aligned says whether the address of b in this process is a multiple of n,
// which is a power of two.
func Aligned(b []byte, n int) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&uintptr(n-1) == 0
}

// offsetOf says whether addr lies in b, and where.
func offsetOf(b []byte, addr uintptr) (int, bool) {
	at := addr - uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return int(at), at < uintptr(len(b))
}

// Address is where b lies in this process. It stays there only if b does not lie in
// memory of Go's, but was mapped.
func Address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

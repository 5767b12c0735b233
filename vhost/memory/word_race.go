//go:build race

package memory

import "sync/atomic"

// With the race detector sync/atomic is code in C, in which a SIGBUS ends the
// process. So words are touched in Go first, where a fault is a panic: nothing
// but a truncation between the two can still end the process, and that only in a
// build for tests. The plain accesses race with nobody the detector knows of,
// since it does not watch memory that is mapped.

func load32(p *uint32) uint32 {
	touch(*p)
	return atomic.LoadUint32(p)
}

func store32(p *uint32, v uint32) {
	touch(*p)
	atomic.StoreUint32(p, v)
}

func load64(p *uint64) uint64 {
	touch(uint32(*p))
	return atomic.LoadUint64(p)
}

func store64(p *uint64, v uint64) {
	touch(uint32(*p))
	atomic.StoreUint64(p, v)
}

func swap32(p *uint32, old, new uint32) bool {
	touch(*p)
	return atomic.CompareAndSwapUint32(p, old, new)
}

//go:noinline
func touch(uint32) {}

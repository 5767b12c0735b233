package packet

import "sync"

// The pools hold plain memory and nothing that belongs to one stack, so all
// stacks of a process share them. The sizes are those that the Go allocator
// serves without waste: an acknowledgement, an Ethernet frame, a jumbo frame,
// a train of 64 KB.
var (
	sizes = [...]int{512, 2048, 10240, 73728}
	pools [len(sizes)]sync.Pool
)

// Get returns an empty Buffer with [Headroom] in front and room for at least
// n bytes, n being at most [MaxSize].
func Get(n int) *Buffer {
	class := classOf(n + Headroom)
	b, _ := pools[class].Get().(*Buffer)
	if b == nil {
		b = &Buffer{mem: make([]byte, sizes[class])}
	}
	mem := b.mem
	*b = Buffer{} // and not with values in it, for which the compiler makes a copy on the stack
	b.mem, b.network, b.front, b.end = mem, Headroom, Headroom, Headroom
	b.check.get()
	return b
}

// From returns a Buffer that holds a copy of p.
func From(p []byte) *Buffer {
	b := Get(len(p))
	b.Append(p)
	return b
}

// Compact returns the packet in the least memory that a Buffer of its length
// takes: b itself, or a clone, and b is released.
func (b *Buffer) Compact() *Buffer {
	if classOf(b.end) == classOf(len(b.mem)) {
		return b
	}
	c := b.Clone()
	b.Release()
	return c
}

// Release ends the life of the packet. The holder must not touch it again.
func (b *Buffer) Release() {
	if b.leave() {
		return
	}
	b.check.release(b.mem)
	pools[classOf(len(b.mem))].Put(b)
}

// classOf is the smallest class with n bytes of memory.
func classOf(n int) int {
	for class, size := range sizes {
		if n <= size {
			return class
		}
	}
	panic("packet: larger than MaxSize")
}

package nbd

import (
	"math/bits"
	"sync"
)

// Buffers for payloads come in sizes of powers of two, and are shared by the
// connections of a server: an idle one holds none.
const (
	smallestBuffer = 12 // 4 KiB
	largestBuffer  = 25 // 32 MiB
)

// A buffer is memory for one payload.
type buffer struct {
	bytes []byte
	class int
}

type buffers struct {
	pools [largestBuffer - smallestBuffer + 1]sync.Pool // of *buffer
}

// bufferClass is the class of the buffer for n bytes, of at most 32 MiB.
func bufferClass(n int) int {
	return max(bits.Len(uint(max(n, 1)-1)), smallestBuffer) - smallestBuffer
}

// bufferSize is how much memory a buffer for n bytes takes.
func bufferSize(n int) int {
	if n == 0 {
		return 0
	}
	return 1 << (bufferClass(n) + smallestBuffer)
}

// get returns a buffer for n bytes, or nil for none.
func (b *buffers) get(n int) *buffer {
	if n == 0 {
		return nil
	}
	class := bufferClass(n)
	if buf, ok := b.pools[class].Get().(*buffer); ok {
		return buf
	}
	return &buffer{make([]byte, 1<<(class+smallestBuffer)), class}
}

func (b *buffers) put(buf *buffer) {
	if buf != nil {
		b.pools[buf.class].Put(buf)
	}
}

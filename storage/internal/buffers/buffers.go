// Package buffers shares memory for payloads. Buffers come in sizes of powers of two,
// and are shared by all users of a pool: an idle connection holds none.
package buffers

import (
	"math/bits"
	"sync"
)

const (
	smallest = 12 // 4 KiB
	largest  = 26 // 64 MiB
)

// A Buffer is memory for one payload.
type Buffer struct {
	Bytes []byte
	class int
}

// A Pool lends buffers. Its zero value is ready.
type Pool struct {
	pools [largest - smallest + 1]sync.Pool // of *Buffer
}

// class is that of the buffer for n bytes, of at most 64 MiB.
func class(n int) int {
	return max(bits.Len(uint(max(n, 1)-1)), smallest) - smallest
}

// Size is how much memory a buffer for n bytes takes.
func Size(n int) int {
	if n == 0 {
		return 0
	}
	return 1 << (class(n) + smallest)
}

// Get returns a buffer for n bytes, at most 64 MiB, or nil for none. It is as long as
// Size says.
func (p *Pool) Get(n int) *Buffer {
	if n == 0 {
		return nil
	}
	c := class(n)
	if b, ok := p.pools[c].Get().(*Buffer); ok {
		return b
	}
	return &Buffer{make([]byte, 1<<(c+smallest)), c}
}

// Put gives a buffer back. None is nil.
func (p *Pool) Put(b *Buffer) {
	if b != nil {
		p.pools[b.class].Put(b)
	}
}

package tcp

import (
	"sort"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/packet"
)

// A sendQueue holds the bytes that the user has written and the peer has not
// yet acknowledged, be they sent or not.
type sendQueue struct {
	first  seq // of the oldest byte
	len    int
	limit  int
	chunks ring.Queue[chunk]
}

// A chunk is a part of the queue: a Buffer, and the sequence number of its
// first byte.
type chunk struct {
	start seq
	b     *packet.Buffer
}

// end is the sequence number behind the text.
func (c *chunk) end() seq { return c.start.add(c.b.Len()) }

// maxChunk bounds the memory of one chunk, in bytes.
const maxChunk = 64 << 10

// end is the sequence number behind the newest byte.
func (q *sendQueue) end() seq { return q.first.add(q.len) }

// room is how many bytes the queue takes now.
func (q *sendQueue) room() int { return max(0, q.limit-q.len) }

// append copies as much of p as there is room for, and returns how much.
func (q *sendQueue) append(p []byte) int {
	n := min(len(p), q.room())
	p = p[:n]
	if last := q.chunks.Len() - 1; last >= 0 {
		m := q.chunks.At(last).b.Append(p)
		q.len += m
		p = p[m:]
	}
	for len(p) > 0 {
		b := packet.Get(min(len(p), maxChunk))
		m := b.Append(p[:min(len(p), maxChunk)])
		q.chunks.Push(chunk{q.end(), b})
		q.len += m
		p = p[m:]
	}
	return n
}

// copy fills dst with the bytes from sequence number from on. They must be in
// the queue.
func (q *sendQueue) copy(dst []byte, from seq) {
	i := sort.Search(q.chunks.Len(), func(i int) bool { return q.chunks.At(i).start.after(from) }) - 1
	for ; len(dst) > 0; i++ {
		c := q.chunks.At(i)
		n := copy(dst, c.b.Bytes()[from.sub(c.start):])
		dst, from = dst[n:], from.add(n)
	}
}

// discard forgets the bytes before una.
func (q *sendQueue) discard(una seq) {
	n := min(una.sub(q.first), q.len)
	if n <= 0 {
		return
	}
	q.first = q.first.add(n)
	q.len -= n
	for q.chunks.Len() > 0 {
		c := q.chunks.At(0)
		if c.start.add(c.b.Len()).after(q.first) {
			c.b.Pull(q.first.sub(c.start))
			c.start = q.first
			return
		}
		q.chunks.Pop().b.Release()
	}
}

// clear forgets everything.
func (q *sendQueue) clear() { q.discard(q.end()) }

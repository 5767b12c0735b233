package machine

import (
	"sort"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A sendQueue holds the bytes that the user has written and the peer has not
// yet acknowledged, be they sent or not.
type sendQueue struct {
	first segment.Seq // of the oldest byte
	len   int
	limit int
	unit  int // bytes that a train takes; so many are kept together
	parts ring.Queue[part]
}

// A part is a stretch of the queue. Its memory has room in front for the headers
// of a packet: where all of it goes out as one, it is the packet, and not
// copied.
type part struct {
	start segment.Seq // of text
	text  []byte      // without what has been acknowledged
	b     *packet.Buffer
	whole bool // nothing has been acknowledged: text begins behind the headroom of b
	shut  bool // text was lent: nothing is added any more
}

// end is the sequence number behind the text.
func (p *part) end() segment.Seq { return p.start.Add(len(p.text)) }

// end is the sequence number behind the newest byte.
func (q *sendQueue) end() segment.Seq { return q.first.Add(q.len) }

// room is how many bytes the queue takes now.
func (q *sendQueue) room() int { return max(0, q.limit-q.len) }

// append copies as much of p as there is room for, and returns how much.
func (q *sendQueue) append(p []byte) int {
	n := min(len(p), q.room())
	packet.CountCopy(n)
	for p = p[:n]; len(p) > 0; {
		last := q.parts.Len() - 1
		if last < 0 || q.parts.At(last).full() {
			q.grow(len(p))
			last++
		}
		c := q.parts.At(last)
		m := min(len(p), cap(c.text)-len(c.text))
		c.text = append(c.text, p[:m]...)
		q.len += m
		p = p[m:]
	}
	return n
}

func (p *part) full() bool { return p.shut || len(p.text) == cap(p.text) }

// grow adds an empty part for a write of n bytes. Where much is queued already,
// more is to come, and the part is as large as a train.
func (q *sendQueue) grow(n int) {
	b := packet.Get(min(max(n, q.len), q.unit))
	text := b.Extend(min(b.Room(), q.unit))
	q.parts.Push(part{start: q.end(), text: text[:0:len(text)], b: b, whole: true})
}

// find is the part with sequence number s.
func (q *sendQueue) find(s segment.Seq) int {
	return sort.Search(q.parts.Len(), func(i int) bool { return q.parts.At(i).start.After(s) }) - 1
}

// copy fills dst with the bytes from sequence number from on. They must be in
// the queue.
func (q *sendQueue) copy(dst []byte, from segment.Seq) {
	packet.CountCopy(len(dst))
	for i := q.find(from); len(dst) > 0; i++ {
		c := q.parts.At(i)
		n := copy(dst, c.text[from.Sub(c.start):])
		dst, from = dst[n:], from.Add(n)
	}
}

// packet is a Buffer with the n bytes from sequence number from on: the memory
// of the queue itself, lent, where that is possible and worth while, or a copy.
func (q *sendQueue) packet(from segment.Seq, n int) *packet.Buffer {
	if n > 0 {
		if c := q.parts.At(q.find(from)); c.lendable(from, n) {
			c.shut = true
			c.b.Lend(n)
			return c.b
		}
	}
	b := packet.Get(n)
	q.copy(b.Extend(n), from)
	return b
}

// lendable says whether the n bytes from from on lie behind the headroom, and
// are so many that shutting the part wastes no memory.
func (p *part) lendable(from segment.Seq, n int) bool {
	return from == p.start && p.whole && n <= len(p.text) && 2*n >= p.b.Size() && p.b.Home()
}

// together is how many of n bytes from from on are to go out as one: not beyond
// the end of a part as large as a train, so that the next train is that part.
func (q *sendQueue) together(from segment.Seq, n int) int {
	c := q.parts.At(q.find(from))
	if rest := c.end().Sub(from); rest < n && len(c.text) == cap(c.text) && c.b.Size() > q.unit {
		return rest
	}
	return n
}

// discard forgets the bytes before una.
func (q *sendQueue) discard(una segment.Seq) {
	n := min(una.Sub(q.first), q.len)
	if n <= 0 {
		return
	}
	q.first = q.first.Add(n)
	q.len -= n
	for q.parts.Len() > 0 {
		c := q.parts.At(0)
		if c.end().After(q.first) {
			if d := q.first.Sub(c.start); d > 0 {
				c.start, c.text, c.whole = q.first, c.text[d:], false
			}
			return
		}
		q.parts.Pop().b.Release()
	}
}

// clear forgets everything.
func (q *sendQueue) clear() { q.discard(q.end()) }

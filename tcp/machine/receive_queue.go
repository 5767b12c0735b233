package machine

import (
	"slices"
	"sort"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A recvQueue holds what has arrived: in order and ready to be read, or ahead
// of a hole (SHLD-31).
type recvQueue struct {
	limit int // bytes that the user may leave unread; the window follows from it

	ready    ring.Queue[*packet.Buffer]
	readyLen int

	ahead     []chunk // sorted, no overlap, none begins at or before rcv.nxt
	aheadLen  int
	aheadSize int             // memory pinned
	blocks    []segment.Block // runs in ahead, the most recently changed first, for SACK
}

// A chunk is text that has come ahead of a hole: a Buffer, and the sequence
// number of its first byte.
type chunk struct {
	start segment.Seq
	b     *packet.Buffer
}

// end is the sequence number behind the text.
func (c *chunk) end() segment.Seq { return c.start.Add(c.b.Len()) }

// mostAhead bounds the out-of-order queue: in pieces, against many tiny
// segments. Full segments are longer than a KiB, and all that fit the window
// must find a place, when a hole is at its beginning.
func (q *recvQueue) mostAhead() int { return max(4096, q.limit>>10) }

// insert takes text that begins at start, where it does not overlap what was
// taken before: nxt is the next byte expected. It owns b. It returns the new
// nxt, and whether the text was kept at all.
func (q *recvQueue) insert(nxt, start segment.Seq, b *packet.Buffer) (segment.Seq, bool) {
	if d := nxt.Sub(start); d > 0 {
		if d >= b.Len() {
			b.Release()
			return nxt, false
		}
		b.Pull(d)
		start = nxt
	}
	if start != nxt {
		return nxt, q.insertAhead(start, b)
	}
	nxt = nxt.Add(b.Len())
	q.push(b)
	for len(q.ahead) > 0 && !q.ahead[0].start.After(nxt) {
		c := q.takeAhead()
		if d := nxt.Sub(c.start); d < c.b.Len() {
			c.b.Pull(d)
			nxt = nxt.Add(c.b.Len())
			q.push(c.b)
		} else {
			c.b.Release()
		}
	}
	q.forgetBlocks(nxt)
	return nxt, true
}

// push adds b to what is ready. Small pieces are copied together, so that a
// flow of tiny segments does not pin a large buffer for each.
func (q *recvQueue) push(b *packet.Buffer) {
	q.readyLen += b.Len()
	if last := q.ready.Len() - 1; last >= 0 {
		if tail := *q.ready.At(last); b.Len() <= tail.Room() && b.Len() <= b.Size()/2 {
			tail.Append(b.Bytes())
			b.Release()
			return
		}
	}
	q.ready.Push(b)
}

// insertAhead takes text behind a hole. What overlaps earlier text is cut
// off; the earlier text stands.
func (q *recvQueue) insertAhead(start segment.Seq, b *packet.Buffer) bool {
	if len(q.ahead) >= q.mostAhead() || q.aheadSize+b.Size() > 2*q.limit+packet.MaxSize {
		b.Release()
		return false
	}
	right := start.Add(b.Len())
	q.addBlock(start, right) // all of it is here now, or was before
	i := sort.Search(len(q.ahead), func(i int) bool { return q.ahead[i].start.After(start) })
	if i > 0 {
		prev := &q.ahead[i-1]
		if d := prev.start.Add(prev.b.Len()).Sub(start); d > 0 {
			if d >= b.Len() {
				b.Release()
				return false
			}
			b.Pull(d)
			start = start.Add(d)
		}
	}
	// Later pieces that the new one covers go; one that it reaches into cuts it.
	j := i
	for ; j < len(q.ahead) && !q.ahead[j].start.Add(q.ahead[j].b.Len()).After(right); j++ {
		q.drop(q.ahead[j])
	}
	if j < len(q.ahead) && q.ahead[j].start.Before(right) {
		b.Trim(q.ahead[j].start.Sub(start))
	}
	if b.Len() == 0 { // covered by its two neighbours
		b.Release()
		return false
	}
	q.ahead = slices.Replace(q.ahead, i, j, chunk{start, b})
	q.aheadLen += b.Len()
	q.aheadSize += b.Size()
	return true
}

func (q *recvQueue) drop(c chunk) {
	q.aheadLen -= c.b.Len()
	q.aheadSize -= c.b.Size()
	c.b.Release()
}

func (q *recvQueue) takeAhead() chunk {
	c := q.ahead[0]
	q.aheadLen -= c.b.Len()
	q.aheadSize -= c.b.Size()
	q.ahead[0] = chunk{}
	q.ahead = q.ahead[1:] // not moved: a hole that is filled frees thousands, one by one
	if len(q.ahead) == 0 {
		q.ahead = nil
	}
	return c
}

// addBlock notes that [left, right) has arrived, and puts the run that it is
// part of in front: the first block of a SACK option is the one that holds the
// segment which triggered it (RFC 2018 section 4).
func (q *recvQueue) addBlock(left, right segment.Seq) {
	rest := q.blocks[:0]
	for _, o := range q.blocks {
		if o.Right.Before(left) || o.Left.After(right) {
			rest = append(rest, o)
			continue
		}
		if o.Left.Before(left) {
			left = o.Left
		}
		right = segment.Later(right, o.Right)
	}
	q.blocks = slices.Insert(rest, 0, segment.Block{Left: left, Right: right})
	const remembered = 2 * segment.MaxSACK
	if len(q.blocks) > remembered {
		q.blocks = q.blocks[:remembered]
	}
}

// forgetBlocks drops the runs that nxt has reached.
func (q *recvQueue) forgetBlocks(nxt segment.Seq) {
	if len(q.blocks) > 0 {
		q.blocks = slices.DeleteFunc(q.blocks, func(b segment.Block) bool { return !b.Right.After(nxt) })
	}
}

// read moves bytes that are ready to p, and returns how many.
func (q *recvQueue) read(p []byte) int {
	n := 0
	for n < len(p) && q.ready.Len() > 0 {
		b := *q.ready.At(0)
		m := copy(p[n:], b.Bytes())
		b.Pull(m)
		n += m
		if b.Len() == 0 {
			q.ready.Pop().Release()
		}
	}
	q.readyLen -= n
	packet.CountCopy(n)
	return n
}

// peek is a copy of what is ready, n bytes at most.
func (q *recvQueue) peek(n int) []byte {
	text := make([]byte, 0, min(n, q.readyLen))
	for i := 0; len(text) < cap(text); i++ {
		b := (*q.ready.At(i)).Bytes()
		text = append(text, b[:min(len(b), cap(text)-len(text))]...)
	}
	return text
}

// take hands over the oldest Buffer that is ready; nil when there is none.
func (q *recvQueue) take() *packet.Buffer {
	if q.ready.Len() == 0 {
		return nil
	}
	b := q.ready.Pop()
	q.readyLen -= b.Len()
	return b
}

// leftOver moves what is ready to be read to a queue of its own.
func (q *recvQueue) leftOver() recvQueue {
	rest := recvQueue{ready: q.ready, readyLen: q.readyLen}
	q.ready, q.readyLen = ring.Queue[*packet.Buffer]{}, 0
	return rest
}

// clear forgets everything.
func (q *recvQueue) clear() {
	q.clearReady()
	q.clearAhead()
}

// clearReady forgets what is ready to be read.
func (q *recvQueue) clearReady() {
	for b := q.take(); b != nil; b = q.take() {
		b.Release()
	}
}

// cutAhead forgets what lies ahead of a hole from end on.
func (q *recvQueue) cutAhead(end segment.Seq) {
	for n := len(q.ahead) - 1; n >= 0 && q.ahead[n].end().After(end); n-- {
		c := &q.ahead[n]
		if keep := end.Sub(c.start); keep > 0 {
			q.aheadLen -= c.b.Len() - keep
			c.b.Trim(keep)
			break
		}
		q.drop(*c)
		*c = chunk{}
		q.ahead = q.ahead[:n]
	}
	q.blocks = slices.DeleteFunc(q.blocks, func(b segment.Block) bool { return !b.Left.Before(end) })
	for i := range q.blocks {
		if q.blocks[i].Right.After(end) {
			q.blocks[i].Right = end
		}
	}
}

// clearAhead forgets what lies ahead of a hole.
func (q *recvQueue) clearAhead() {
	for _, c := range q.ahead {
		q.drop(c)
	}
	q.ahead, q.blocks = nil, nil
}

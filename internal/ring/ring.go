// Package ring is a queue in a slice that wraps around, so that a queue in a
// steady state does not allocate.
package ring

// A Queue is a first-in, first-out queue whose items can also be reached by
// index. The zero Queue is empty and holds no memory.
type Queue[T any] struct {
	items []T // the length is a power of two
	head  int
	len   int
	most  int // items since it was last empty
}

// short is the room, in items, that a queue keeps in any case.
const short = 64

// Len is how many items there are.
func (q *Queue[T]) Len() int { return q.len }

// At is item i, 0 being the oldest. The pointer is good until the next change.
func (q *Queue[T]) At(i int) *T {
	if uint(i) >= uint(q.len) {
		panic("ring: index out of range")
	}
	return &q.items[(q.head+i)&(len(q.items)-1)]
}

// Push adds x behind the newest item.
func (q *Queue[T]) Push(x T) {
	q.grow()
	q.len++
	q.most = max(q.most, q.len)
	*q.At(q.len - 1) = x
}

// Pop takes the oldest item.
func (q *Queue[T]) Pop() T {
	var zero T
	p := q.At(0)
	x := *p
	*p = zero // no memory is held for what has left
	q.head = (q.head + 1) & (len(q.items) - 1)
	q.len--
	if q.len == 0 {
		if len(q.items) > short && q.most <= short {
			q.items, q.head = nil, 0 // what was long once is not kept for ever
		}
		q.most = 0
	}
	return x
}

// Clear drops all items, and the room for many.
func (q *Queue[T]) Clear() {
	if len(q.items) > short {
		*q = Queue[T]{}
	}
	for q.len > 0 {
		q.Pop()
	}
}

// Insert puts x before item i. It moves the items on the side where there are
// fewer.
func (q *Queue[T]) Insert(i int, x T) {
	if i <= q.len/2 {
		q.pushFront()
		q.moveDown(0, i)
	} else {
		q.Push(x)
		q.moveUp(i, q.len-1)
	}
	*q.At(i) = x
}

// pushFront adds an item, of any value, in front of the oldest.
func (q *Queue[T]) pushFront() {
	q.grow()
	q.head = (q.head - 1) & (len(q.items) - 1)
	q.len++
	q.most = max(q.most, q.len)
}

// Remove takes item i out, and moves the items on the side where there are fewer.
func (q *Queue[T]) Remove(i int) {
	if i <= q.len/2 {
		q.moveUp(0, i)
		q.Pop()
		return
	}
	q.moveDown(i, q.len-1)
	var zero T
	*q.At(q.len - 1) = zero
	q.len--
}

// moveUp moves items i to j-1 one place up, onto item j.
func (q *Queue[T]) moveUp(i, j int) {
	last := len(q.items) - 1
	from, to := (q.head+i)&last, (q.head+j)&last
	if from > to { // around the end
		copy(q.items[1:to+1], q.items[:to])
		q.items[0] = q.items[last]
		to = last
	}
	copy(q.items[from+1:to+1], q.items[from:to])
}

// moveDown moves items i+1 to j one place down, onto item i.
func (q *Queue[T]) moveDown(i, j int) {
	last := len(q.items) - 1
	to, from := (q.head+i)&last, (q.head+j)&last
	if to > from { // around the end
		copy(q.items[to:last], q.items[to+1:])
		q.items[last] = q.items[0]
		to = 0
	}
	copy(q.items[to:from], q.items[to+1:from+1])
}

func (q *Queue[T]) grow() {
	if q.len < len(q.items) {
		return
	}
	items := make([]T, max(4, 2*len(q.items)))
	for i := range q.len {
		items[i] = *q.At(i)
	}
	q.items, q.head = items, 0
}

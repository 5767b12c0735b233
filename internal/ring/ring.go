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
		for j := range i {
			*q.At(j) = *q.At(j + 1)
		}
	} else {
		q.Push(x)
		for j := q.len - 1; j > i; j-- {
			*q.At(j) = *q.At(j - 1)
		}
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
		for j := i; j > 0; j-- {
			*q.At(j) = *q.At(j - 1)
		}
		q.Pop()
		return
	}
	for j := i; j < q.len-1; j++ {
		*q.At(j) = *q.At(j + 1)
	}
	var zero T
	*q.At(q.len - 1) = zero
	q.len--
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

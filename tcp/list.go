package tcp

import "sync/atomic"

// A list takes things from anybody, who does not wait, for one who takes all. That
// there is nothing costs him one look.
type list[T any] struct{ last atomic.Pointer[listed[T]] }

// listed is a thing in a list.
type listed[T any] struct {
	thing  T
	before *listed[T]
}

// push adds x, and says whether it is the first.
func (l *list[T]) push(x *listed[T]) bool {
	for {
		before := l.last.Load()
		x.before = before
		if l.last.CompareAndSwap(before, x) {
			return before == nil // x is the taker's already
		}
	}
}

// each takes all, and has f see them, the oldest first.
func (l *list[T]) each(f func(T)) {
	if l.last.Load() == nil {
		return
	}
	var first *listed[T]
	for x := l.last.Swap(nil); x != nil; {
		before := x.before
		x.before, first, x = first, x, before
	}
	for first != nil {
		x := first
		first, x.before = x.before, nil // it may be pushed again by f
		f(x.thing)
	}
}

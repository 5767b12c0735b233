package tcp

// A list takes things from anybody, who does not wait, for one who takes all. It is
// state in a channel: who has received the slice owns it until he puts it back,
// which is at once.
type list[T any] struct {
	things chan []T
	ready  chan struct{} // there is something; room for one
}

func newList[T any]() list[T] {
	l := list[T]{make(chan []T, 1), make(chan struct{}, 1)}
	l.things <- nil
	return l
}

// push adds x.
func (l *list[T]) push(x T) {
	l.things <- append(<-l.things, x)
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// all takes all, the oldest first.
func (l *list[T]) all() []T {
	things := <-l.things
	l.things <- nil
	return things
}

// Package edge has the edges of the stack's graph: the channels between its
// processes, which count what passes them, and the inbox that a process waits in.
//
// Sending gives away, as on any channel. Of each edge somebody else can ask at any
// time how many wait in it, how many have passed, and how often a sender has had to
// wait ([Edge.State]).
package edge

import "sync/atomic"

// An Edge is a channel from processes to one process. Whoever makes it hands out its
// ends: [Edge.In] to its only reader, [Edge.Out] to those who write.
type Edge[T any] struct {
	read  <-chan T
	write chan<- T
	wakes *Inbox // whose bell a sender rings; nil where the reader waits in the edge itself
	inbox *Inbox // of an edge that is an inbox
	_     [cacheLine]byte

	passed atomic.Uint64 // written by the reader alone
	_      [cacheLine]byte

	stalls atomic.Uint64
}

// cacheLine keeps apart what different processes write: a counter of the reader in
// the line which every sender reads would cost each of them a cache miss.
const cacheLine = 64

// New makes an edge with room for size things. Its reader waits in the inbox wakes,
// whose bell rings for each thing sent; nil is for a reader that waits in the edge
// itself.
func New[T any](size int, wakes *Inbox) *Edge[T] {
	c := make(chan T, size)
	return &Edge[T]{read: c, write: c, wakes: wakes}
}

// To is the edge whose channel another package has made and reads.
func To[T any](c chan<- T) *Edge[T] { return &Edge[T]{write: c} }

// From is the edge whose channel another package has made and writes.
func From[T any](c <-chan T) *Edge[T] { return &Edge[T]{read: c} }

// In is the reader's end.
func (e *Edge[T]) In() In[T] { return In[T]{e} }

// Out is a writer's end.
func (e *Edge[T]) Out() Out[T] { return Out[T]{e} }

// A State is what there is to know of an edge at one moment. Counts are since the
// start.
type State struct {
	Name     string // as in the drawing of the graph
	Link     int    // of which interface; -1 where there is one for all
	Waiting  int    // how many things wait in it, the sign of a bell among them
	Capacity int    // how many can
	Passed   uint64 // how many things its reader has taken; it says so once a burst
	Stalls   uint64 // how often a sender has found it full, and waited
}

// State is that of e. Name and Link are for the caller to fill in. Where another
// package reads, what has passed is not known, and 0.
func (e *Edge[T]) State() State {
	s := State{Passed: e.passed.Load(), Stalls: e.stalls.Load()}
	if e.read != nil {
		s.Waiting, s.Capacity = len(e.read), cap(e.read)
	} else {
		s.Waiting, s.Capacity = len(e.write), cap(e.write)
	}
	return s
}

// In is the end of an edge that its only reader has. The zero In never has anything.
type In[T any] struct{ edge *Edge[T] }

// Try takes one thing, if there is one.
func (i In[T]) Try() (thing T, ok bool) {
	if i.edge == nil {
		return thing, false
	}
	select {
	case thing, ok = <-i.edge.read:
		if ok {
			i.edge.passed.Add(1)
		}
	default:
	}
	return thing, ok
}

// Drain has f take all that is left, once nobody sends any more.
func (i In[T]) Drain(f func(T)) {
	for {
		thing, ok := i.Try()
		if !ok {
			return
		}
		f(thing)
	}
}

// C is the channel, for a select. Who takes something from it says so by Took.
func (i In[T]) C() <-chan T {
	if i.edge == nil {
		return nil
	}
	return i.edge.read
}

// Took counts one thing taken from C.
func (i In[T]) Took() { i.edge.passed.Add(1) }

// Out is an end of an edge that a writer has. The zero Out has no room.
type Out[T any] struct{ edge *Edge[T] }

// Send gives thing to the reader, and waits while there is no room.
func (o Out[T]) Send(thing T) {
	select {
	case o.edge.write <- thing:
	default:
		o.edge.stalls.Add(1)
		o.edge.write <- thing
	}
	o.ring()
}

// SendUnless is Send that gives up, and says so, when one of the channels is closed.
func (o Out[T]) SendUnless(thing T, ended <-chan struct{}) bool {
	select {
	case o.edge.write <- thing:
	default:
		o.edge.stalls.Add(1)
		select {
		case o.edge.write <- thing:
		case <-ended:
			return false
		}
	}
	o.ring()
	return true
}

// Try gives thing to the reader if there is room, and says whether there was.
func (o Out[T]) Try(thing T) bool {
	if o.edge == nil {
		return false
	}
	select {
	case o.edge.write <- thing:
		o.ring()
		return true
	default:
		return false
	}
}

// ring wakes a reader that waits elsewhere.
func (o Out[T]) ring() {
	if o.edge.wakes != nil {
		o.edge.wakes.Ring()
	}
}

// Stall counts that the caller has found no room, and is about to wait in C.
func (o Out[T]) Stall() { o.edge.stalls.Add(1) }

// C is the channel, for a select; of an edge whose reader waits in it, since nobody
// rings then.
func (o Out[T]) C() chan<- T { return o.edge.write }

// Waiting is how many things wait.
func (o Out[T]) Waiting() int {
	if o.edge == nil {
		return 0
	}
	return len(o.edge.write)
}

// Capacity is how many can.
func (o Out[T]) Capacity() int {
	if o.edge == nil {
		return 0
	}
	return cap(o.edge.write)
}

// Exists says whether o is the end of an edge.
func (o Out[T]) Exists() bool { return o.edge != nil }

// Close says that nothing more is sent.
func (o Out[T]) Close() {
	if o.edge.inbox != nil {
		o.edge.inbox.Close()
	} else {
		close(o.edge.write)
	}
}

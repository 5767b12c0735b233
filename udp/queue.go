package udp

import (
	"sync/atomic"

	"github.com/seed-012105e5/gonet/packet"
)

// A queue holds the datagrams of one socket that wait to be read. Demux alone
// puts them in, and any number of readers take them out. What bounds it is the
// memory that they pin, not their number: it is a channel, which has a longer
// one take its place when it is full.
//
// The long channel of a socket that once had much to hold is kept: it takes 8
// bytes for each of the smallest datagrams that the read buffer allows.
type queue struct {
	head atomic.Pointer[section] // that readers take from
	tail *section                // that Demux puts into
}

// A section is one channel. It is closed when the next has taken its place.
type section struct {
	waiting chan *packet.Buffer
	next    *section // set before the channel is closed
}

const (
	firstSection = 64 // datagrams
	growth       = 4  // how much longer the next one is
)

func newQueue() *queue {
	s := &section{waiting: make(chan *packet.Buffer, firstSection)}
	q := &queue{tail: s}
	q.head.Store(s)
	return q
}

// put adds b. The caller has seen to it that there may be one more.
func (q *queue) put(b *packet.Buffer) {
	s := q.tail
	select {
	case s.waiting <- b:
		return
	default:
	}
	s.next = &section{waiting: make(chan *packet.Buffer, growth*cap(s.waiting))}
	s.next.waiting <- b
	q.tail = s.next
	close(s.waiting)
}

// leave has readers go on to the section after s, which is closed and empty.
func (q *queue) leave(s *section) { q.head.CompareAndSwap(s, s.next) }

// take is the next datagram, or nil when none waits.
func (q *queue) take() *packet.Buffer {
	for {
		s := q.head.Load()
		select {
		case b, open := <-s.waiting:
			if open {
				return b
			}
			q.leave(s)
		default:
			return nil
		}
	}
}

// len is how many datagrams wait, for tests: others may change it meanwhile.
func (q *queue) len() (n int) {
	for s := q.head.Load(); s != nil; s = s.next {
		n += len(s.waiting)
	}
	return n
}

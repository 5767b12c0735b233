package main

import (
	"errors"
	"runtime"

	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// An echo is a network card that sends back what it is sent, with the addresses
// swapped: it copies from ring to ring, as a switch does, and no Buffer is made.
type echo struct {
	lent chan *vhost.Queue // the ring for receiving, to who serves the one for sending
	back chan struct{}
}

func newEcho() *echo { return &echo{make(chan *vhost.Queue), make(chan struct{})} }

const featureMrgRxbuf = 1 << 15 // VIRTIO_NET_F_MRG_RXBUF

const headerLen = 12 // struct virtio_net_hdr with num_buffers

func (*echo) Features() uint64            { return featureMrgRxbuf }
func (*echo) Queues() int                 { return 2 }
func (*echo) Config() []byte              { return make([]byte, 12) }
func (*echo) SetConfig(int, []byte) error { return errors.New("there is nothing to set") }

// Serve has the ring for receiving wait for the other one, which has it until it is to
// stop.
func (e *echo) Serve(q *vhost.Queue) {
	if q.Index() == 0 {
		select {
		case e.lent <- q:
			<-e.back
		case <-q.Stopped():
		}
		return
	}
	select {
	case rx := <-e.lent:
		e.circle(q, rx)
		e.back <- struct{}{}
	case <-q.Stopped():
	}
}

// circle polls, until one of the rings is to stop. It takes what is there first and
// copies then: the misses of the cache in a loop that short overlap.
func (e *echo) circle(tx, rx *vhost.Queue) {
	var from, to [32]virtqueue.Chain
	for {
		n, m := 0, 0
		for n < len(from) && tx.Next(&from[n]) {
			n++
		}
		for m < n && rx.Next(&to[m]) { // the others are lost
			m++
		}
		for i := range m {
			rx.Put(&to[i], bounce(&to[i], &from[i]))
		}
		for i := range n {
			tx.Put(&from[i], 0)
		}
		if n > 0 {
			rx.Flush()
			tx.Flush()
			continue
		}
		select {
		case <-tx.Stopped():
			return
		case <-rx.Stopped():
			return
		default:
			if tx.Err() != nil || rx.Err() != nil {
				return
			}
			runtime.Gosched()
		}
	}
}

// bounce copies a frame to the first part of a chain, as far as it fits there, and swaps
// its addresses. It returns how long it is.
func bounce(to, from *virtqueue.Chain) int {
	if len(to.Writable) == 0 {
		return 0
	}
	b, n := to.Writable[0], 0
	for _, p := range from.Readable {
		n += copy(b[n:], p)
	}
	if len(b) >= headerLen+12 {
		clear(b[:headerLen])
		b[10] = 1 // one buffer
		mac := [6]byte(b[headerLen:])
		copy(b[headerLen:], b[headerLen+6:headerLen+12])
		copy(b[headerLen+6:], mac[:])
	}
	return n
}

//go:build linux

package main

import (
	"fmt"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

// A cell is what a wire does to frames, in each direction.
type cell struct {
	rtt           time.Duration // without queueing
	loss, reorder float64       // probabilities, of each frame
}

// cells are those of the table.
var cells = func() (all []cell) {
	for _, rtt := range []time.Duration{1, 20, 100} {
		for _, loss := range []float64{0.001, 0.01, 0.05} {
			all = append(all, cell{rtt: rtt * time.Millisecond, loss: loss})
		}
		all = append(all, cell{rtt: rtt * time.Millisecond, reorder: 0.05})
	}
	return all
}()

func (c cell) String() string {
	s := fmt.Sprintf("rtt %v", c.rtt)
	if c.loss > 0 {
		s += fmt.Sprintf(", loss %v %%", c.loss*100)
	}
	if c.reorder > 0 {
		s += fmt.Sprintf(", reordering %v %%", c.reorder*100)
	}
	return s
}

// slow says whether so little gets through that several runs fit the machine.
func (c cell) slow(s *settings) bool {
	return s.rate <= 50e6 || c.loss > 0 && c.rtt >= 20*time.Millisecond
}

// duration is how long a run takes: longer with a long round trip, of which it
// must have many.
func (c cell) duration(s *settings) time.Duration {
	return s.time + c.rtt*time.Duration(time.Second/(20*time.Millisecond))
}

// frameLen is the length of a full frame, in bytes.
const frameLen = 14 + link.DefaultMTU

// leastQueue is that of a short wire. A train of 64 KB comes at once.
const leastQueue = 64

// queue is how many frames wait for the wire at most.
func (c cell) queue(s *settings) int {
	if s.queue > 0 {
		return s.queue
	}
	return max(leastQueue, int(s.rate/8*int64(c.rtt)/int64(time.Second))/frameLen)
}

// impairment is c as package link has it.
func (c cell) impairment(s *settings, seed uint64) link.Impairment {
	return link.Impairment{
		Rate: s.rate, Queue: c.queue(s), Delay: c.rtt / 2,
		Loss: c.loss, Reorder: c.reorder, Seed: seed,
	}
}

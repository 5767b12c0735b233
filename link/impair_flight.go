package link

import (
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// A flight is the frames under way: a heap, the earliest on top, and of those
// with the same instant the one that was pushed first.
type flight struct {
	frames []delayed
	pushed uint64
}

type delayed struct {
	at    time.Duration
	order uint64
	b     *packet.Buffer
}

func (d *delayed) before(e *delayed) bool {
	return d.at < e.at || d.at == e.at && d.order < e.order
}

func (f *flight) len() int { return len(f.frames) }

func (f *flight) push(at time.Duration, b *packet.Buffer) {
	f.frames = append(f.frames, delayed{at, f.pushed, b})
	f.pushed++
	h := f.frames
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].before(&h[parent]) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

// pop takes the top off a flight that is not empty.
func (f *flight) pop() *packet.Buffer {
	h := f.frames
	b, last := h[0].b, len(h)-1
	h[0], h[last] = h[last], delayed{}
	h = h[:last]
	f.frames = h
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return b
		}
		if child+1 < last && h[child+1].before(&h[child]) {
			child++
		}
		if !h[child].before(&h[i]) {
			return b
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

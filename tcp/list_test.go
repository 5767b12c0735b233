package tcp

import (
	"sync"
	"testing"
)

// TestList: whatever many push comes out once, each one's in its order, and who finds
// the list empty is told so as often as the taker comes in vain without it.
func TestList(t *testing.T) {
	const pushers, each = 4, 5000
	type thing struct{ by, n int }
	var l list[thing]
	ready := make(chan struct{}, 1)
	var all sync.WaitGroup
	for by := range pushers {
		all.Go(func() {
			for n := range each {
				if l.push(&listed[thing]{thing: thing{by, n}}) {
					select {
					case ready <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	var next [pushers]int
	for taken := 0; taken < pushers*each; {
		<-ready // a push that is not told of would have the test wait for ever
		l.each(func(x thing) {
			if x.n != next[x.by] {
				t.Errorf("%d of pusher %d comes in place of %d", x.n, x.by, next[x.by])
			}
			next[x.by] = x.n + 1
			taken++
		})
	}
	all.Wait()
	l.each(func(thing) { t.Error("something is left") })
}

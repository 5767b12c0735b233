package nbd

import (
	"sync/atomic"
	"time"
)

// A lookout sees that no connection waits for one slow call of its device: it takes
// the lead of a session away from a goroutine that has been in the same call for a
// tick or two, and gives it to a new one. (The Go runtime does the same with its
// processors and system calls.)
//
// A session's watch counts: odd while its leader is in a call, even otherwise. The
// step from odd to even ends the call's turn as leader. The leader makes it when the
// call returns, and the lookout when that takes too long; by compare-and-swap one of
// them alone does, and owns the session then.
//
// The lookout runs while there are sessions, and stops looking while none of them
// does anything.
type lookout struct {
	asleep atomic.Bool
	wake   chan struct{}
}

const (
	lookoutTick  = time.Millisecond
	lookoutSleep = 100 // ticks without any request

	slowCall     = 50 * time.Microsecond // of a device, that a worker had better do
	slowWeight   = 8                     // quick ones that make good for it
	leastPenalty = 64                    // requests for workers after distrust
	mostPenalty  = 1 << 16               // it doubles each time
	trustAfter   = 256                   // quick ones, and is halved
)

// attend wakes the lookout if it sleeps. A leader calls it when its turn has begun.
func (l *lookout) attend() {
	if l.asleep.Load() {
		l.rouse()
	}
}

func (l *lookout) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// look is the process of the lookout. It owns what it has seen of each session,
// reads the channel wake, and blocks in time and for requests. It ends with the last
// session.
func (s *Server) look() {
	l := &s.lookout
	seen := map[*session]uint64{}
	quiet := 0
	tick := time.NewTicker(lookoutTick)
	defer tick.Stop()
	for {
		if quiet < lookoutSleep {
			select {
			case <-tick.C:
			case <-l.wake: // or the last session has gone
			}
		} else {
			tick.Stop()
			l.asleep.Store(true)
			if !s.changed(seen) { // since it looked last, and before it was asleep
				<-l.wake
			}
			l.asleep.Store(false)
			tick.Reset(lookoutTick)
			quiet = 0
		}
		s.mu.Lock()
		if s.watched == 0 {
			s.looking = false
			s.mu.Unlock()
			return
		}
		quiet++
		for c := range s.conns {
			if c.session == nil || c.session.worker.export.immediate {
				continue
			}
			turn := c.session.watch.Load()
			if turn != seen[c.session] {
				quiet = 0
			} else if turn%2 == 1 {
				quiet = 0
				c.session.takeOver(turn)
			}
			seen[c.session] = turn
		}
		for known := range seen {
			if known.over.Load() {
				delete(seen, known)
			}
		}
		s.mu.Unlock()
	}
}

// changed says whether a session has begun a request since it was seen, or all are
// gone.
func (s *Server) changed(seen map[*session]uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.session != nil && !c.session.worker.export.immediate && c.session.watch.Load() != seen[c.session] {
			return true
		}
	}
	return s.watched == 0
}

// takeOver makes a new leader, if the old one is still in the call of that turn and
// there may be one more goroutine.
func (s *session) takeOver(turn uint64) {
	first := s.started.Load() == 0
	if !first && !s.server.startWorker() {
		return
	}
	if !s.watch.CompareAndSwap(turn, turn+1) {
		if !first {
			s.server.workers.Add(-1)
		}
		return
	}
	s.started.Add(1) // the old leader
	s.server.counters.takeovers.Add(1)
	s.distrust()
	s.workers.Go(s.lead)
}

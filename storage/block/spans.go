package block

import (
	"context"
	"slices"
)

// spans are the writes under way on a device whose blocks are larger than a byte. A
// write that reads blocks, changes and writes them back must be alone on them:
// what another writes there meanwhile would be undone. Writes of whole blocks
// disturb only such ones.
//
// The state belongs to whoever holds the token, for a few steps in which nothing
// blocks. There are as many spans as there are callers.
type spans struct {
	token chan struct{}
	list  []*span // in the order of their arrival
	free  []*span
}

// A span is one write, of the bytes from lo up to hi.
type span struct {
	lo, hi int64
	alone  bool // it reads and writes back
	runs   bool
	turn   chan struct{} // tells one that waited that it runs
}

func (s *spans) start() { s.token = make(chan struct{}, 1) }

// enter returns when no write that disturbs this one is under way, or with the
// error of the context. Those that wait have precedence by arrival.
func (s *spans) enter(ctx context.Context, lo, hi int64, alone bool) (*span, error) {
	s.token <- struct{}{}
	var r *span
	if n := len(s.free); n > 0 {
		r, s.free = s.free[n-1], s.free[:n-1]
	} else {
		r = &span{turn: make(chan struct{}, 1)}
	}
	r.lo, r.hi, r.alone = lo, hi, alone
	s.list = append(s.list, r)
	runs := s.mayRun(len(s.list) - 1)
	r.runs = runs
	<-s.token
	if runs {
		return r, nil
	}
	select {
	case <-r.turn:
		return r, nil
	case <-ctx.Done():
		s.leave(r)
		return nil, ctx.Err()
	}
}

// leave ends r and lets those run that waited for it.
func (s *spans) leave(r *span) {
	s.token <- struct{}{}
	i := slices.Index(s.list, r)
	s.list = slices.Delete(s.list, i, i+1)
	select {
	case <-r.turn: // came too late
	default:
	}
	s.free = append(s.free, r)
	for j := i; j < len(s.list); j++ {
		if w := s.list[j]; !w.runs && s.mayRun(j) {
			w.runs = true
			w.turn <- struct{}{}
		}
	}
	<-s.token
}

// mayRun says whether nothing that came before the span at i disturbs it.
func (s *spans) mayRun(i int) bool {
	r := s.list[i]
	for _, o := range s.list[:i] {
		if (o.alone || r.alone) && o.lo < r.hi && r.lo < o.hi {
			return false
		}
	}
	return true
}

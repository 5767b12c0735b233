// Package rangelock orders work on ranges of a disk that would disturb each other.
package rangelock

import (
	"context"
	"slices"
)

// A Table is the ranges that are being worked on. Ranges that overlap are worked on
// at the same time only if both are shared. Those that wait have precedence by
// arrival.
//
// The state belongs to whoever holds the token, for a few steps in which nothing
// blocks. There are as many ranges as there are callers. They are kept for the next
// caller, so that entering allocates nothing in the steady state.
type Table struct {
	token chan struct{}
	list  []*Range // in the order of their arrival
	free  []*Range
}

// A Range is what its holder works on, the bytes from lo up to hi.
type Range struct {
	lo, hi int64
	alone  bool
	runs   bool
	turn   chan struct{} // tells one that waited that it runs
}

// New makes an empty table.
func New() *Table { return &Table{token: make(chan struct{}, 1)} }

// Enter returns when the range from lo up to hi may be worked on: alone, or shared
// with others that share. It fails with the error of the context if that ends
// before. The range must leave.
func (t *Table) Enter(ctx context.Context, lo, hi int64, alone bool) (*Range, error) {
	t.token <- struct{}{}
	var r *Range
	if n := len(t.free); n > 0 {
		r, t.free = t.free[n-1], t.free[:n-1]
	} else {
		r = &Range{turn: make(chan struct{}, 1)}
	}
	r.lo, r.hi, r.alone = lo, hi, alone
	t.list = append(t.list, r)
	runs := t.mayRun(len(t.list) - 1)
	r.runs = runs
	<-t.token
	if runs {
		return r, nil
	}
	select {
	case <-r.turn:
		return r, nil
	case <-ctx.Done():
		t.Leave(r)
		return nil, ctx.Err()
	}
}

// Leave ends the work on r and lets those run that waited for it.
func (t *Table) Leave(r *Range) {
	t.token <- struct{}{}
	i := slices.Index(t.list, r)
	t.list = slices.Delete(t.list, i, i+1)
	select {
	case <-r.turn: // came when its holder had given up
	default:
	}
	t.free = append(t.free, r)
	for j := i; j < len(t.list); j++ {
		if w := t.list[j]; !w.runs && t.mayRun(j) {
			w.runs = true
			w.turn <- struct{}{}
		}
	}
	<-t.token
}

// Len is how many ranges are worked on or waited for.
func (t *Table) Len() int {
	t.token <- struct{}{}
	n := len(t.list)
	<-t.token
	return n
}

// mayRun says whether nothing that came before number i disturbs it.
func (t *Table) mayRun(i int) bool {
	r := t.list[i]
	for _, o := range t.list[:i] {
		if (o.alone || r.alone) && o.lo < r.hi && r.lo < o.hi {
			return false
		}
	}
	return true
}

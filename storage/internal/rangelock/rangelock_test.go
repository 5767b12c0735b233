package rangelock

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTable has many users enter random ranges: none that overlaps one which is
// held alone, and all in the end.
func TestTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 64
		table := New()
		var mu sync.Mutex
		var shared, alone [size]int
		var wg sync.WaitGroup
		for u := range 20 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(u)))
				for range 100 {
					lo := r.Int64N(size)
					hi := lo + 1 + r.Int64N(min(8, size-lo))
					isAlone := r.IntN(3) == 0
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(50))*time.Millisecond)
					held, err := table.Enter(ctx, lo, hi, isAlone)
					cancel()
					if err != nil {
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
						continue
					}
					mu.Lock()
					for i := lo; i < hi; i++ {
						if alone[i] > 0 || isAlone && shared[i] > 0 {
							t.Errorf("byte %d is held by %d alone and %d others when one comes (alone: %v)", i, alone[i], shared[i], isAlone)
						}
						if isAlone {
							alone[i]++
						} else {
							shared[i]++
						}
					}
					mu.Unlock()
					time.Sleep(time.Duration(r.IntN(5)) * time.Millisecond)
					mu.Lock()
					for i := lo; i < hi; i++ {
						if isAlone {
							alone[i]--
						} else {
							shared[i]--
						}
					}
					mu.Unlock()
					table.Leave(held)
				}
			})
		}
		wg.Wait()
		if n := table.Len(); n != 0 {
			t.Errorf("%d ranges are left", n)
		}
	})
}

// TestOrder lets one that waits to be alone not starve behind those that share.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New()
		ctx := t.Context()
		first, _ := table.Enter(ctx, 0, 10, false)
		order := make(chan string, 2)
		go func() {
			r, _ := table.Enter(ctx, 5, 6, true)
			order <- "alone"
			table.Leave(r)
		}()
		synctest.Wait()
		go func() {
			r, _ := table.Enter(ctx, 5, 6, false)
			order <- "shared"
			table.Leave(r)
		}()
		synctest.Wait()
		table.Leave(first)
		if a, b := <-order, <-order; a != "alone" || b != "shared" {
			t.Errorf("%s came before %s", a, b)
		}
	})
}

func TestAllocates(t *testing.T) {
	table := New()
	if n := testing.AllocsPerRun(100, func() {
		a, _ := table.Enter(context.Background(), 0, 1, true)
		b, _ := table.Enter(context.Background(), 1, 2, true)
		table.Leave(a)
		table.Leave(b)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

package sim

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

// Run makes a network of the seed, has f use it in virtual time, and ends it.
// It returns what f returns, or what went wrong: a process that waits for ever
// (a deadlock) is an error, as is a goroutine that is left at the end.
//
// When ctx is done, [Net.Wait] returns its error. Run works in tests and in
// programs, but not inside a bubble of package synctest.
func Run(ctx context.Context, seed uint64, f func(*Net) error) (err error) {
	ended := make(chan error, 1) // made out here, so that it can be read after a deadlock
	defer func() {
		select {
		case err = <-ended:
		default:
		}
		if r := recover(); r != nil {
			err = errors.Join(err, fmt.Errorf("sim: %v", r))
		}
	}()
	stop := newStop(ctx)
	defer stop.forget()
	// Virtual time is only to be had from package synctest, which asks for a
	// test. It runs f below the test that it is given, and reports to it, so
	// one that nobody runs will do as long as f does not fail it.
	synctest.Test(new(testing.T), func(*testing.T) {
		n := New(seed)
		n.stop = stop
		err := f(n)
		ended <- errors.Join(err, n.Close())
	})
	return nil
}
